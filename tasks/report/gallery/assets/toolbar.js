"use strict";
// What stands above the images: the chosen filters as chips, the order, the size, stacks, and saved views.

{
  const { element, format } = Gallery;
  const SIZES = { least: -3, most: 5 };

  const titleOf = (facets, key) => facets.find((facet) => facet.key === key)?.title ?? key;

  // One chosen value: the first button turns "is" into "is not", the second one takes the choice back.
  const filterChip = (facets, key, value, how) => {
    const title = titleOf(facets, key);
    const other = how === "is" ? "not" : "is";
    return element("span", { class: `chip filter ${how}` },
      element("button", { type: "button", dir: "auto", "aria-label": `${title} is ${how === "not" ? "not " : ""}${value}. Turn it round`, click: () => Gallery.chooseValue(key, value, other) },
        `${title} `, element("b", {}, how === "is" ? "is" : "is not"), ` ${value}`),
      element("button", { type: "button", "aria-label": `Without ${title} ${value}`, click: () => Gallery.chooseValue(key, value, "") }, "✕"));
  };

  const filterChips = (facets) => {
    const { filters, nots } = Gallery.state;
    const chips = (map, how) => [...map].flatMap(([key, values]) => [...values].map((value) => filterChip(facets, key, value, how)));
    return [...chips(filters, "is"), ...chips(nots, "not")];
  };

  Gallery.sizeStep = () => Math.max(SIZES.least, Math.min(SIZES.most, Math.trunc(Number(Gallery.state.size)) || 0));

  Gallery.changeSize = (by) => {
    const size = Math.max(SIZES.least, Math.min(SIZES.most, Gallery.sizeStep() + by));
    Gallery.change({ size: size ? String(size) : "" });
  };

  // What all jobs of the batch say, looked for once.
  const known = new WeakMap();
  const factsOf = (jobs) => {
    if (!known.has(jobs)) known.set(jobs, { orders: Gallery.orders(jobs), hasSamples: jobs.some((job) => job.samples?.length > 1) });
    return known.get(jobs);
  };

  // The bar; `jobs` are all of the batch, by which is known what can be sorted by.
  Gallery.toolbar = (jobs, facets) => {
    const { orders, hasSamples } = factsOf(jobs);
    const order = element("select", { change: () => Gallery.chooseOrder(order.value) },
      orders.map(([key, title]) => element("option", { value: key, selected: key === Gallery.currentOrder() }, title)));
    const shuffle = Gallery.state.sort.startsWith("random:") &&
      element("button", { class: "chip", type: "button", click: () => Gallery.chooseOrder("random:") }, "Shuffle");
    const stack = hasSamples && element("button", { class: "chip stack", type: "button", "aria-pressed": String(Gallery.state.stack === "1"),
      click: () => Gallery.change({ stack: Gallery.state.stack ? "" : "1" }) }, "Stack samples");
    const size = (by, label, sign) => element("button", { class: "chip", type: "button", "aria-label": label, "aria-keyshortcuts": sign, click: () => Gallery.changeSize(by) }, by < 0 ? "−" : "+");
    return element("div", { class: "bar tools-bar" },
      element("label", {}, "Sort ", order), shuffle, stack,
      element("span", { class: "sizes", role: "group", "aria-label": "Size of the images" }, size(-1, "Smaller images", "-"), size(1, "Larger images", "+")),
      Gallery.viewMenu(), filterChips(facets));
  };
}
