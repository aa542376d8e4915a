"use strict";
// All images, in rows that fill the width, each as wide as its shape asks.

{
  const { element } = Gallery;
  const GAP_PX = 14;
  const CAPTION_PX = 68;
  const NARROW_PX = 640;
  const LEAST_PX = 132;

  const MOST_STRETCH = 1.5;
  const STEP = 1.3;

  // Width by height of a card: a narrow image still has room for its caption.
  const shapeOf = (job, target) => Math.max(LEAST_PX / target, Math.min(2.4, job.ratio || 1));

  // Rows of {jobs, height, shapes}: each fills the width, as near to the target height as its jobs allow.
  const pack = (jobs, width) => {
    const target = (width < NARROW_PX ? 170 : 236) * STEP ** Gallery.sizeStep();
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

  // How many samples a card stands for.
  const stackCount = (job) => element("span", { class: "stack-count", role: "img", "aria-label": `${job.stacked.length} samples` }, `×${job.stacked.length}`);

  // Put the chosen jobs into `content`, under the bar that orders them; gives what main.js handles a view with.
  Gallery.gridView = (content, chosen, facets, all) => {
    const isStacked = Gallery.state.stack === "1";
    const jobs = Gallery.ordered(isStacked ? Gallery.stackSamples(chosen) : chosen);
    content.append(Gallery.toolbar(all, facets));
    if (!jobs.length) {
      content.append(element("p", { class: "empty" }, "No image is like that. Clear a filter, or the search."));
      return { items: jobs, close: () => {} };
    }
    const style = getComputedStyle(content);
    const packed = pack(jobs, content.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
    // Made when a key first needs it: every keystroke of a search draws anew.
    let rowOf = null;
    const rowIndex = (job) => {
      if (!rowOf) {
        rowOf = new Map();
        packed.forEach(({ jobs: inRow }, index) => inRow.forEach((each) => rowOf.set(each, index)));
      }
      return rowOf.get(job) ?? 0;
    };
    const focus = (job) => {
      const row = rows.show(rowIndex(job));
      row?.querySelector(`[data-job="${job.job_id}"]`)?.focus({ preventScroll: true });
    };
    const isStack = (job) => isStacked && job.stacked.length > 1;
    // After a choice the next stack follows, and at the end the grid.
    const openStack = (job) => {
      let current = job;
      const next = () => {
        current = jobs.slice(jobs.indexOf(current) + 1).find(isStack);
        return current?.stacked;
      };
      Gallery.openSurvey(job.stacked, { next, closed: () => focus(current ?? job) });
    };
    const open = (job) => (isStack(job) ? openStack(job) : Gallery.openDetail(job, jobs, focus));
    const choose = (job, event) => {
      if (event.shiftKey) Gallery.markTo(job, jobs);
      else if (event.ctrlKey || event.metaKey) Gallery.markOne(job);
      else open(job);
    };
    const render = (index) => {
      const { jobs: inRow, shapes, height } = packed[index];
      const cells = inRow.map((job, place) => {
        const width = Math.floor(shapes[place] * height);
        const card = Gallery.card(job, { width, height, choose });
        if (isStack(job)) card.append(stackCount(job));
        card.classList.toggle("is-marked", Gallery.isMarked(job));
        return element("div", { role: "gridcell", "aria-selected": String(Gallery.isMarked(job)) }, card);
      });
      return element("div", { class: "cards", role: "row" }, cells);
    };
    const caption = CAPTION_PX * Gallery.textScale();
    const rows = Gallery.virtualRows({
      scroller: content,
      heights: packed.map(({ height }) => height + caption + GAP_PX),
      render,
      attributes: { role: "grid", "aria-label": "Images", "aria-rowcount": packed.length, "aria-multiselectable": "true" },
    });
    content.append(rows.list);
    rows.update();
    return { items: jobs, open, focus, close: rows.close };
  };
}
