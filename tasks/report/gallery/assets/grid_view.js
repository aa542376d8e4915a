"use strict";
// All images, in rows that fill the width, each as wide as its shape asks.

{
  const { element } = Gallery;
  const GAP_PX = 14;
  const CAPTION_PX = 68;
  const NARROW_PX = 640;
  const LEAST_PX = 132;

  const MOST_STRETCH = 1.5;

  // Width by height of a card: a narrow image still has room for its caption.
  const shapeOf = (job, target) => Math.max(LEAST_PX / target, Math.min(2.4, job.ratio || 1));

  // Rows of {jobs, height, shapes}: each fills the width, as near to the target height as its jobs allow.
  const pack = (jobs, width) => {
    const target = width < NARROW_PX ? 170 : 236;
    const rows = [];
    let row = [];
    let shapes = [];
    let sum = 0;
    const fitting = (count, total) => (width - GAP_PX * (count - 1)) / total;
    const close = (most) => {
      rows.push({ jobs: row, shapes, height: Math.floor(Math.min(most, fitting(row.length, sum))) });
      row = [];
      shapes = [];
      sum = 0;
    };
    for (const job of jobs) {
      const own = shapeOf(job, target);
      const fewer = row.length ? fitting(row.length, sum) : Infinity;
      // Taller without this one may be nearer to the target than lower with it.
      if (fewer <= target * MOST_STRETCH && fewer - target < target - fitting(row.length + 1, sum + own)) close(Infinity);
      row.push(job);
      shapes.push(own);
      sum += own;
      if (fitting(row.length, sum) <= target) close(Infinity);
    }
    if (row.length) close(target);
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
      const { jobs: inRow, shapes, height } = packed[index];
      const cells = inRow.map((job, place) => {
        const width = Math.floor(shapes[place] * height);
        return element("div", { role: "gridcell" }, Gallery.card(job, { width, height, choose: open }));
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
