"use strict";
// Two to nine images side by side under one lens: which of them is the best.

{
  const { element, format } = Gallery;
  const MOST = 9;
  const HEAD_PX = 52;
  const CAPTION_PX = 32;

  let jobs = [];
  let at = 0;
  let followUp = null;
  let onClose = () => {};

  const title = element("h2", { id: "survey-title" });
  const tiles = element("div", { class: "tiles-wall" });
  const best = element("button", { class: "main", type: "button", "aria-keyshortcuts": "b", click: () => chooseBest() }, "Best of these");
  const zoom = element("button", { class: "quiet zoom", type: "button", "aria-keyshortcuts": "z", "aria-label": "Zoom to 100 %", click: () => Gallery.toggleZoom() }, "100 %");
  const dialog = element("dialog", { class: "survey", "aria-labelledby": "survey-title",
    close: () => { const job = jobs[at]; jobs = []; tiles.replaceChildren(); onClose(job); } },
    element("header", {}, title, best, element("span", { class: "steps" }, zoom,
      element("button", { class: "quiet", type: "button", "aria-label": "Close", click: () => dialog.close() }, "✕"))),
    tiles);
  document.body.append(dialog);
  Gallery.onZoom((isZoomed) => zoom.setAttribute("aria-pressed", isZoomed));

  const mark = () => {
    [...tiles.children].forEach((tile, place) => {
      tile.classList.toggle("current", place === at);
      tile.tabIndex = place === at ? 0 : -1;
      tile.setAttribute("aria-selected", place === at);
    });
  };

  const moveTo = (place) => {
    if (place < 0 || place >= jobs.length) return;
    at = place;
    mark();
    tiles.children[at].focus({ preventScroll: true });
  };

  // So many beside each other that the images are as large as they go.
  const acrossFor = (count, ratio) => {
    let [best, widest] = [1, 0];
    for (let across = 1; across <= count; across += 1) {
      const [room, height] = [window.innerWidth / across, (window.innerHeight - HEAD_PX) / Math.ceil(count / across) - CAPTION_PX];
      const width = Math.min(room, height * ratio);
      if (width > widest) [best, widest] = [across, width];
    }
    return best;
  };

  const fill = () => {
    title.textContent = `${format.number(jobs.length)} images`;
    tiles.style.setProperty("--across", acrossFor(jobs.length, jobs[0].ratio));
    tiles.replaceChildren(...jobs.map((job, place) => {
      const tile = element("figure", { class: "card survey-tile", role: "option", "data-job": job.job_id, "aria-label": job.name || job.prompt, focusin: () => { at = place; mark(); }, pointerdown: () => moveTo(place) },
        Gallery.largeImage(job), element("figcaption", { class: "meta", dir: "auto" }, [job.name, Gallery.metaOf(job)].filter(Boolean).join(" · ")));
      Gallery.badge(tile, job);
      return tile;
    }));
    tiles.setAttribute("role", "listbox");
    tiles.setAttribute("aria-label", "Images side by side");
    moveTo(0);
  };

  // Pick the current one, reject the others; then the next stack, where there is one.
  const chooseBest = () => {
    const chosen = jobs[at];
    Gallery.say(jobs, (job) => ({ verdict: job === chosen ? "pick" : "reject" }));
    const next = followUp?.();
    if (next) open(next);
    else dialog.close();
  };

  const open = (shown) => {
    jobs = shown.filter((job) => job.thumbnail).slice(0, MOST);
    at = 0;
    fill();
  };

  // Show these jobs; of more than nine, the first. `next` gives the jobs to go on with after a choice, or null; `closed` is
  // called with the last one that was looked at.
  Gallery.openSurvey = (shown, { next = null, closed = () => {} } = {}) => {
    if (shown.filter((job) => job.thumbnail).length < 2) return;
    followUp = next;
    onClose = closed;
    Gallery.resetZoom();
    if (!dialog.open) dialog.showModal();
    open(shown);
  };

  Gallery.surveyTarget = () => (dialog.open ? { jobs: [jobs[at]], next: () => moveTo(at + 1) } : null);

  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const across = Number(tiles.style.getPropertyValue("--across"));
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (by) moveTo(at + by);
    else if (event.key === "b" || (event.key === "Enter" && event.target.closest(".survey-tile"))) chooseBest();
    else if (event.key === "z") Gallery.toggleZoom();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
