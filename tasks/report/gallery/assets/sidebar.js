"use strict";
// The filters: for each facet its values, with how many jobs each would leave.

{
  const { element, format } = Gallery;
  const JUDGED_MS = 400;

  const valueLine = (facet, value) => {
    const box = element("input", {
      type: "checkbox",
      change: () => Gallery.chooseValue(facet.key, value, box.checked ? "is" : ""),
    });
    const count = element("span", { class: "count" });
    const line = element("label", { "data-value": value }, box, element("span", { class: "value", dir: "auto" }, value), count);
    let shown = "";
    const update = (number) => {
      const isChosen = Gallery.state.filters.get(facet.key)?.has(value) ?? false;
      const isLeftOut = Gallery.state.nots.get(facet.key)?.has(value) ?? false;
      // Hundreds of lines: each keystroke touches those that change.
      const now = `${number} ${isChosen} ${isLeftOut}`;
      if (now === shown) return;
      shown = now;
      box.checked = isChosen;
      count.textContent = format.number(number);
      line.classList.toggle("left-out", isLeftOut);
      line.classList.toggle("none", number === 0 && !isChosen);
    };
    return { line, update };
  };

  const valueGroup = (facet, countsOf) => {
    const lines = facet.values.map((value) => valueLine(facet, value));
    const legend = element("legend", { class: facet.extra ? "extra" : null }, facet.title);
    const set = element("fieldset", { "data-facet": facet.key }, legend, element("div", { class: "values" }, lines.map(({ line }) => line)));
    const update = () => {
      const counts = countsOf();
      lines.forEach((line, place) => line.update(counts[place]));
    };
    return { set, update };
  };

  // Fill the sidebar, and keep it up to date with every choice.
  Gallery.showFilters = async (sidebar, jobs, facets) => {
    const groups = [];
    const countsOf = (index) => () => Gallery.survey(jobs, facets).counts[index];
    await Gallery.eachInPieces(facets, (facet, index) => void groups.push(valueGroup(facet, countsOf(index))));
    const clear = element("button", { class: "quiet clear", type: "button", click: Gallery.clearFilters }, "Clear");
    const wide = window.matchMedia("(min-width: 60rem)");
    const body = element("details", { open: wide.matches }, element("summary", {}, "Filters"), clear, groups.map(({ set }) => set));
    wide.addEventListener("change", () => {
      body.open = wide.matches;
    });
    sidebar.replaceChildren(...(facets.length ? [body] : []));
    sidebar.hidden = !facets.length;
    const update = () => {
      groups.forEach((group) => group.update());
      clear.hidden = !Gallery.state.filters.size && !Gallery.state.nots.size && !Gallery.state.text;
    };
    Gallery.onChange((changed) => ["filters", "nots", "text"].some((key) => changed.includes(key)) && update());
    // Once judging rests: each pass looks at every job.
    let timer = 0;
    Gallery.onJudged(() => {
      clearTimeout(timer);
      timer = setTimeout(update, JUDGED_MS);
    });
    // The browser lays a thousand values out first, which is a piece of work of its own.
    await Gallery.pause();
    update();
  };
}
