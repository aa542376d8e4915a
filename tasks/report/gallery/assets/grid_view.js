"use strict";
// All images, in rows that fill the width, each as wide as its shape asks.

{
  const { element } = Gallery;
  const GAP_PX = 14;
  const CAPTION_PX = 68;
  const NARROW_PX = 640;
  const LEAST_PX = 132;

  // How wide a card is in a row of this height: a narrow image still has room for its caption.
  const widthOf = (job, height) => Math.max(Math.floor(shape(job) * height), Math.min(LEAST_PX, height));

  const shape = (job) => Math.min(2.4, Math.max(0.5, job.ratio || 1));

  // Rows of {jobs, height}: a row is closed when its images, at the target height, fill the width.
  const pack = (jobs, width) => {
    const target = width < NARROW_PX ? 170 : 236;
    const rows = [];
    let row = [];
    let shapes = 0;
    let narrowest = Infinity;
    const close = (full) => {
      const fitting = (width - GAP_PX * (row.length - 1)) / shapes;
      const height = Math.floor(full ? fitting : Math.min(target, fitting));
      rows.push({ jobs: row, height });
      row = [];
      shapes = 0;
      narrowest = Infinity;
    };
    for (const job of jobs) {
      const own = shape(job);
      const height = Math.min(target, (width - GAP_PX * row.length) / (shapes + own));
      // One more would leave the narrowest without room for its caption.
      if (row.length && Math.min(narrowest, own) * height < Math.min(LEAST_PX, height)) close(false);
      row.push(job);
      shapes += own;
      narrowest = Math.min(narrowest, own);
      if (shapes * target + GAP_PX * (row.length - 1) >= width) close(true);
    }
    if (row.length) close(false);
    return rows;
  };

  // Put the jobs into `content`; gives what main.js handles a view with.
  Gallery.gridView = (content, jobs) => {
    if (!jobs.length) {
      content.append(element("p", { class: "empty" }, "No image is like that. Clear a filter, or the search."));
      return { items: jobs, close: () => {} };
    }
    const style = getComputedStyle(content);
    const packed = pack(jobs, content.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
    const focus = (job) => {
      const row = rows.show(packed.findIndex(({ jobs: inRow }) => inRow.includes(job)));
      row?.querySelector(`[data-job="${job.job_id}"]`)?.focus({ preventScroll: true });
    };
    const open = (job) => Gallery.openDetail(job, jobs, focus);
    const render = (index) => {
      const { jobs: inRow, height } = packed[index];
      const cells = inRow.map((job) => {
        return element("div", { role: "gridcell" }, Gallery.card(job, { width: widthOf(job, height), height, choose: open }));
      });
      return element("div", { class: "cards", role: "row" }, cells);
    };
    const rows = Gallery.virtualRows({
      scroller: content,
      heights: packed.map(({ height }) => height + CAPTION_PX + GAP_PX),
      render,
      attributes: { role: "grid", "aria-label": "Images", "aria-rowcount": packed.length },
    });
    content.append(rows.list);
    rows.update();
    return { items: jobs, open, focus, close: rows.close };
  };
}
