"use strict";
// Two batches side by side, image by image.

{
  const { element } = Gallery;
  const GAP_PX = 18;
  const TEXT_PX = 64;
  const PAIR_PX = 460;

  // Which pairs the bar above lets through.
  const KINDS = {
    all: ["All", () => true],
    both: ["In both", ({ first, second }) => first && second],
    state: ["Another state", ({ first, second }) => first && second && first.outcome !== second.outcome],
    image: ["Another image", ({ first, second }) => first && second && first.thumbnail !== second.thumbnail],
    first: ["Only in the first", ({ second }) => !second],
    second: ["Only in the second", ({ first }) => !first],
  };

  Gallery.pairsOf = (pairs, jobs) => {
    const chosen = new Set(jobs);
    return pairs.filter(({ first, second }) => chosen.has(first) || chosen.has(second));
  };

  const bar = (pairs, kind) => {
    const chips = Object.entries(KINDS).map(([key, [label, test]]) => {
      const count = pairs.filter(test).length;
      const attributes = { class: "chip", type: "button", "aria-pressed": String(key === kind), click: () => Gallery.change({ rows: key }) };
      if (!count && key !== kind) return null;
      return element("button", attributes, label, " ", element("span", { class: "count" }, Gallery.format.number(count)));
    });
    return element("div", { class: "bar", role: "group", "aria-label": "Pairs" }, chips);
  };

  const half = (job, width, height) => {
    const image = job ? Gallery.thumbnail(job) : element("span", { class: "note waiting" }, element("b", {}, "not in this batch"));
    return element("span", { class: "half", css: { width: `${width}px` } },
      element("span", { class: "frame", css: { height: `${height}px` } }, image),
      element("span", { class: "meta" }, job ? Gallery.metaOf(job) : ""));
  };

  Gallery.compareView = (content, pairs) => {
    const kind = Gallery.state.rows in KINDS ? Gallery.state.rows : "all";
    const items = pairs.filter(KINDS[kind][1]);
    content.append(bar(pairs, kind));
    if (!items.length) {
      content.append(element("p", { class: "empty" }, "No pair is like that."));
      return { items, close: () => {} };
    }
    const style = getComputedStyle(content);
    const room = content.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const across = Math.max(1, Math.floor((room + GAP_PX) / (PAIR_PX + GAP_PX)));
    const width = Math.floor((room - GAP_PX * (across - 1)) / across);
    const side = Math.floor((width - 4) / 2);
    const ratios = items.map((pair) => (pair.first ?? pair.second).ratio).sort((one, other) => one - other);
    const height = Math.floor(side / Math.min(1.8, Math.max(0.7, ratios[ratios.length >> 1])));

    const focus = (pair) => {
      const index = items.indexOf(pair);
      const row = rows.show(Math.floor(index / across));
      row?.querySelectorAll("button.card")[index % across]?.focus({ preventScroll: true });
    };
    const open = (pair) => Gallery.openDetail(pair, items, focus);
    const card = (pair) => {
      const job = pair.first ?? pair.second;
      return element("div", { role: "gridcell" },
        element("button", { class: "card pair", type: "button", tabindex: -1, "data-job": job.job_id, css: { width: `${width}px` }, click: () => open(pair) },
          element("span", { class: "halves" }, half(pair.first, side, height), half(pair.second, side, height)),
          element("span", { class: "prompt", dir: "auto" }, job.prompt)));
    };
    const count = Math.ceil(items.length / across);
    const rows = Gallery.virtualRows({
      scroller: content,
      heights: Array(count).fill(height + TEXT_PX * Gallery.textScale() + GAP_PX),
      render: (index) => element("div", { class: "cards pairs", role: "row" }, items.slice(index * across, (index + 1) * across).map(card)),
      attributes: { role: "grid", "aria-label": "Pairs", "aria-rowcount": count },
    });
    content.append(rows.list);
    rows.update();
    return { items, open, focus, close: rows.close };
  };
}
