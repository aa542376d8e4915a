"use strict";
// Rows by one key, columns by another: what changes with what. The keys are the manifest's own columns, backend and model.

{
  const { element, format } = Gallery;
  const KEYS_NOT = new Set(["state", "error"]);
  const HEAD_PX = { narrow: 76, wide: 112 };
  const NARROW_PX = 640;
  const CELL_PX = { least: 120, most: 340 };
  const GAP_PX = 10;
  const TILE_GAP_PX = 4;

  const axes = (facets) => facets.filter((facet) => !KEYS_NOT.has(facet.key));

  // The chosen key, else the one that comes first: the manifest's own columns before the others.
  const keyFor = (choices, wanted, not) =>
    choices.find(({ key }) => key === wanted && key !== not?.key) ??
    choices.find(({ key, extra }) => extra && key !== not?.key) ??
    choices.find(({ key }) => key !== not?.key);

  const picker = (label, name, choices, chosen) => {
    const select = element("select", { change: () => Gallery.change({ [name]: select.value }) },
      choices.map(({ key, title }) => element("option", { value: key, selected: key === chosen.key }, title)));
    return element("label", {}, label, " ", select);
  };

  const valueOf = ({ values, at }, job) => values[at[job.index]];

  const cellsOf = (jobs, rowKey, columnKey) => {
    const cells = new Map(rowKey.values.map((value) => [value, new Map()]));
    for (const job of jobs) {
      const row = cells.get(valueOf(rowKey, job));
      const column = valueOf(columnKey, job);
      if (!row || column === undefined) continue;
      if (row.has(column)) row.get(column).push(job);
      else row.set(column, [job]);
    }
    return cells;
  };

  // The facet's values that some of the jobs have.
  const valuesIn = ({ values, at }, jobs) => {
    const found = new Uint8Array(values.length);
    for (const { index } of jobs) if (at[index] >= 0) found[at[index]] = 1;
    return values.filter((_, place) => found[place]);
  };

  // How each cell is laid out: one image, two beside each other, or four; for all cells alike.
  const layoutOf = (cells, ratio, columns, room) => {
    const most = Math.max(...cells.map((jobs) => jobs.length));
    const [across, down] = most === 1 ? [1, 1] : [2, most === 2 ? 1 : 2];
    const widest = CELL_PX.most * Math.sqrt(across);
    const width = Math.floor(Math.min(widest, Math.max(CELL_PX.least, room / columns - GAP_PX)));
    const tile = Math.floor((width - TILE_GAP_PX * (across - 1)) / across);
    const size = { width: tile, height: Math.floor(tile / Math.min(1.8, Math.max(0.6, ratio))) };
    return { width, height: size.height * down + TILE_GAP_PX * (down - 1), size, shown: across * down };
  };

  // The cards of one combination, and the way to those that have no room.
  const cell = (jobs, { height, size, shown }, choose, showAll) => {
    if (!jobs) return element("div", { role: "gridcell", class: "hole", css: { height: `${height}px` } });
    const cards = jobs.slice(0, shown).map((job) => Gallery.card(job, { ...size, caption: false, choose }));
    const more = { class: "more", type: "button", click: showAll, "aria-label": `Show all ${format.number(jobs.length)}` };
    const left = jobs.length - shown;
    return element("div", { role: "gridcell", class: "cell" }, cards, left > 0 && element("button", more, `+${format.number(left)}`));
  };

  Gallery.matrixView = (content, jobs, facets) => {
    const choices = axes(facets);
    if (choices.length < 2) {
      content.append(element("p", { class: "empty" }, "A matrix needs two columns of which each has several values, as `matrix` in a manifest makes them."));
      return { items: jobs, close: () => {} };
    }
    const chosenRows = keyFor(choices, Gallery.state.rows);
    const chosenColumns = keyFor(choices, Gallery.state.columns, chosenRows);
    const [rowKey, columnKey] = [chosenRows, chosenColumns];
    const cells = cellsOf(jobs, rowKey, columnKey);
    const [rowValues, columnValues] = [valuesIn(rowKey, jobs), valuesIn(columnKey, jobs)];
    const items = [...cells.values()].flatMap((row) => [...row.values()].flat());
    const bar = element("div", { class: "bar" },
      picker("Rows", "rows", choices, rowKey),
      picker("Columns", "columns", choices.filter(({ key }) => key !== rowKey.key), columnKey),
      element("span", { class: "hint" }, items.length < jobs.length ? `${format.number(items.length)} of ${format.number(jobs.length)} images have both` : ""));
    content.append(bar);
    if (!items.length) {
      content.append(element("p", { class: "empty" }, "No image has both."));
      return { items, close: () => {} };
    }

    const headPx = content.clientWidth < NARROW_PX ? HEAD_PX.narrow : HEAD_PX.wide;
    const ratios = items.map((job) => job.ratio).sort((one, other) => one - other);
    const filled = [...cells.values()].flatMap((row) => [...row.values()]);
    const layout = layoutOf(filled, ratios[ratios.length >> 1], columnValues.length, content.clientWidth - headPx - 48);
    const columns = { gridTemplateColumns: `${headPx}px repeat(${columnValues.length}, ${layout.width}px)` };
    const open = (job) => Gallery.openDetail(job, items, focus);
    const showAll = (row, column) => {
      const filters = new Map(Gallery.state.filters).set(rowKey.key, new Set([row])).set(columnKey.key, new Set([column]));
      Gallery.change({ view: "", filters });
    };
    const head = element("div", { class: "matrix-row sticky", role: "row", css: columns },
      element("span", { role: "columnheader", class: "corner" }, `${rowKey.title} × ${columnKey.title}`),
      columnValues.map((value) => element("span", { role: "columnheader" }, value)));
    const render = (index) => {
      const value = rowValues[index];
      const row = cells.get(value);
      return element("div", { class: "matrix-row", role: "row", css: columns },
        element("span", { role: "rowheader" }, value),
        columnValues.map((column) => cell(row.get(column), layout, open, () => showAll(value, column))));
    };
    const rows = Gallery.virtualRows({
      scroller: content,
      heights: rowValues.map(() => layout.height + GAP_PX),
      render,
      attributes: { role: "rowgroup", css: {} },
    });
    const focus = (job) => {
      const row = rows.show(rowValues.indexOf(valueOf(rowKey, job)));
      row?.querySelector(`[data-job="${job.job_id}"]`)?.focus({ preventScroll: true });
    };
    const matrix = element("div", { class: "matrix", role: "grid", "aria-label": "Matrix", "aria-rowcount": rowValues.length + 1 }, head, rows.list);
    matrix.style.setProperty("--columns", columnValues.length);
    content.append(matrix);
    rows.update();
    return { items, open, focus, close: rows.close };
  };
}
