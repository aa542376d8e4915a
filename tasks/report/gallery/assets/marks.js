"use strict";
// A range of images that verdicts are for: marked by shift and arrows or a click, kept until Escape or another choice.

{
  const { element, format } = Gallery;
  let marked = new Set();
  let anchor = null;

  const draw = () => {
    const ids = new Set([...marked].map((job) => job.job_id));
    for (const card of document.querySelectorAll("#content .card[data-job]")) {
      const isMarked = ids.has(card.dataset.job);
      card.classList.toggle("is-marked", isMarked);
      card.closest("[role='gridcell']")?.setAttribute("aria-selected", isMarked);
    }
    bar.hidden = !marked.size;
    count.textContent = `${format.number(marked.size)} marked`;
  };

  Gallery.markedJobs = () => [...marked];

  Gallery.unmark = () => {
    if (!marked.size) return false;
    marked = new Set();
    anchor = null;
    draw();
    return true;
  };

  // From the last image without shift to this one, in the order of the view.
  Gallery.markTo = (job, items) => {
    anchor ??= job;
    const [from, to] = [items.indexOf(anchor), items.indexOf(job)].sort((one, other) => one - other);
    marked = new Set(items.slice(Math.max(0, from), to + 1).filter((each) => each.thumbnail));
    draw();
  };

  Gallery.markOne = (job) => {
    if (!job.thumbnail) return;
    if (marked.has(job)) marked.delete(job);
    else marked.add(job);
    anchor = job;
    draw();
  };

  Gallery.anchorMarks = (job) => {
    anchor = job;
  };

  // Cards that scroll into sight.
  Gallery.isMarked = (job) => marked.has(job);

  const count = element("span", { role: "status" });
  const act = (label, click) => element("button", { class: "side", type: "button", click }, label);
  const bar = element("div", { id: "marked", hidden: true, role: "group", "aria-label": "Marked images" }, count,
    act("✓ Pick", () => Gallery.say([...marked], { verdict: "pick" })),
    act("✕ Reject", () => Gallery.say([...marked], { verdict: "reject" })),
    act("Side by side", () => Gallery.openSurvey([...marked])),
    act("Unmark", () => Gallery.unmark()));
  document.body.append(bar);
}
