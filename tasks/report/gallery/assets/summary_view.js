"use strict";
// What the batch came to: numbers, plots and the figures that the plots are drawn from.

{
  const { element, format } = Gallery;

  const tile = (value, label) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, label));

  const tiles = ({ summary }) => {
    const left = summary.planned + summary.submitting + summary.submitted;
    const unknown = summary.cost_unknown ? ` and ${format.number(summary.cost_unknown)} unknown` : "";
    return element("div", { class: "tiles" },
      tile(`${format.number(summary.images)} of ${format.number(summary.total)}`, "images"),
      tile(format.number(summary.failed), "failed"),
      summary.held ? tile(format.number(summary.held), "held") : null,
      left ? tile(format.number(left), "to do") : null,
      tile(format.cost(summary.cost_usd), `spent${unknown}`),
      tile(`${summary.images_per_s.toFixed(2)} / s`, "images, in the last run"),
      tile(summary.outcome ?? "–", "last run"));
  };

  const plot = (batch, title, name) => {
    const image = element("img", { alt: `${title}; the figures stand below` });
    Gallery.onTheme(() => {
      image.src = `${batch.place}gallery/plots/${name}-${Gallery.theme()}.svg`;
    });
    return element("figure", { class: "plot" }, element("figcaption", {}, title), image);
  };

  const table = (title, columns, rows) =>
    rows.length > 0 &&
    element("section", {},
      element("h2", {}, title),
      element("table", { class: "figures" },
        element("thead", {}, element("tr", {}, columns.map(([name]) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, rows.map((row) => element("tr", {}, columns.map(([, value]) => element("td", {}, value(row))))))));

  Gallery.summaryView = (content, batch) => {
    const { latency, cost, failures, scores = [] } = batch.tables;
    content.append(element("div", { class: "summary" },
      tiles(batch),
      element("div", { class: "plots" }, Object.entries(batch.plots).map(([title, name]) => plot(batch, title, name))),
      table("Latency", [["backend", (row) => row.backend], ["images", (row) => format.number(row.images)], ["median", (row) => format.seconds(row.median_ms)], ["95 %", (row) => format.seconds(row.p95_ms)]], latency),
      table("Cost", [["day (UTC)", (row) => row.day], ["model", (row) => row.model], ["images", (row) => format.number(row.images)], ["cost", (row) => format.cost(row.cost_usd)], ["of unknown cost", (row) => format.number(row.unknown)]], cost),
      table("Scores", [["score", (row) => row.score], ["by", (row) => row.by], ["value", (row) => row.value], ["images", (row) => format.number(row.images)], ["mean", (row) => String(Number(row.mean.toPrecision(4)))]], scores),
      table("Failures", [["kind", (row) => row.kind], ["jobs", (row) => format.number(row.jobs)]], failures)));
    // There is nothing in it to tab to, so the keys need the part that scrolls.
    content.tabIndex = 0;
    return { items: [], close: () => (content.tabIndex = -1) };
  };
}
