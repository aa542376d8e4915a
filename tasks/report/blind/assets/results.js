"use strict";
// The results, once they are asked for.

const Blind = {};

{
  Blind.element = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    // Texts stay texts: nothing of a manifest becomes markup.
    made.append(...children);
    return made;
  };
  const { element } = Blind;

  Blind.number = (value) => value.toLocaleString("en");
  const { number } = Blind;

  const share = (value) => `${Math.round(100 * value)} %`;
  const rate = (row) => row.win_rate === null ? "-" : `${share(row.win_rate)} (${share(row.win_rate_low)} to ${share(row.win_rate_high)})`;
  const rating = (row) => row.rating === null ? "-" : `${Math.round(row.rating)} (${Math.round(row.rating_low)} to ${Math.round(row.rating_high)})`;
  const COUNTS = [["comparisons", (row) => number(row.comparisons)], ["won", (row) => number(row.won)], ["tied", (row) => number(row.tied)], ["lost", (row) => number(row.lost)], ["win rate", rate]];
  const MODELS = [["model", (row) => row.model], ...COUNTS, ["rating", rating]];
  const COLUMNS = [["column", (row) => row.column], ["value", (row) => row.value], ["model", (row) => row.model], ...COUNTS];

  const table = (columns, rows) => element("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Results" }, element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map(([name]) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...columns.map(([, read]) => element("td", {}, String(read(row)))))))));

  Blind.showResults = (record) => {
    const parts = [element("h2", {}, `${number(record.compared)} of ${number(record.pairs)} pairs compared by ${record.reviewers.join(", ") || "nobody"}`)];
    const unpaired = [[record.without_counterpart, "image", "without a counterpart"], [record.equal_files, "pair", "of equal files"]]
      .filter(([count]) => count).map(([count, noun, why]) => `${number(count)} ${noun}${count === 1 ? "" : "s"} ${why}`);
    if (unpaired.length) parts.push(element("p", {}, `Not compared: ${unpaired.join(", ")}.`));
    parts.push(table(MODELS, record.models));
    if (record.columns.length) parts.push(element("h2", {}, "By column"), table(COLUMNS, record.columns));
    parts.push(element("p", { class: "hint" }, "In brackets: intervals of 95 %. A tie is half a win. Ratings: 400 points are odds of 10 to 1."));
    return element("div", { class: "results" }, ...parts);
  };
}
