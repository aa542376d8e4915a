"use strict";
// One job, or one pair of jobs, in full: the image as large as it goes, and everything that is known of it.

{
  const { element, format } = Gallery;

  const single = (job) => [
    element("div", { class: "seen" }, Gallery.largeImage(job, step), strip),
    element("section", { class: "about", "aria-label": "Parameters", tabindex: 0 },
      job.thumbnail && Gallery.judgeButtons(job, () => step(1)), Gallery.actions(job), Gallery.factList(job)),
  ];

  const side = (job, batch) =>
    element(
      "figure",
      {},
      element("figcaption", {}, batch.name),
      job ? Gallery.largeImage(job) : element("div", { class: "stage" }, element("span", { class: "note waiting" }, element("b", {}, "not in this batch"))),
    );

  const double = (pair) => {
    const [here, there] = Gallery.page.batches;
    const copies = [pair.first, pair.second].map((job) => element("div", {}, job && Gallery.actions(job)));
    return [
      element("div", { class: "sides" }, side(pair.first, here), side(pair.second, there)),
      Gallery.factTable(pair),
      element("div", { class: "sides copies" }, copies),
    ];
  };

  let items = [];
  let at = 0;
  let onClose = () => {};
  let leftByAddress = false;

  const step = (by) => {
    const next = at + by;
    if (next >= 0 && next < items.length) show(next);
  };

  const strip = Gallery.filmstrip((index) => show(index));
  const zoom = element("button", { class: "quiet zoom", type: "button", "aria-keyshortcuts": "z", "aria-label": "Zoom to 100 %", click: () => Gallery.toggleZoom() }, "100 %");
  Gallery.onZoom((isZoomed) => zoom.setAttribute("aria-pressed", isZoomed));
  const previous = element("button", { class: "quiet", type: "button", "aria-label": "Previous", click: () => step(-1) }, "←");
  const next = element("button", { class: "quiet", type: "button", "aria-label": "Next", click: () => step(1) }, "→");
  const close = element("button", { class: "quiet", type: "button", "aria-label": "Close", click: () => dialog.close() }, "✕");
  const title = element("h2", { id: "detail-title", dir: "auto" });
  const place = element("span", { class: "place" });
  const body = element("div", { class: "detail-body" });
  const dialog = element(
    "dialog",
    {
      class: "detail",
      "aria-labelledby": "detail-title",
      keydown: (event) => {
        if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input")) return;
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (by) step(by);
        else if (event.key === "z") Gallery.toggleZoom();
      },
      click: (event) => event.target === dialog && dialog.close(),
      close: () => {
        // Back does the same as the cross: what was pushed when this opened is taken back.
        if (leftByAddress) leftByAddress = false;
        else Gallery.leave({ job: "" });
        onClose(items[at]);
      },
    },
    element("header", {}, title, place, element("span", { class: "steps" }, zoom, previous, next, close)),
    body,
  );
  document.body.append(dialog);

  const jobOf = (item) => item.first ?? item.second ?? item;

  const show = (index, { push = false } = {}) => {
    at = index;
    const item = items[at];
    const job = jobOf(item);
    title.textContent = job.name || job.prompt;
    place.textContent = `${format.number(at + 1)} of ${format.number(items.length)}`;
    // Not `disabled`, which would take the focus away, and the arrow keys with it.
    previous.setAttribute("aria-disabled", at === 0);
    next.setAttribute("aria-disabled", at === items.length - 1);
    const pair = "first" in item;
    dialog.classList.toggle("pair", pair);
    body.replaceChildren(...(pair ? double(item) : single(item)));
    body.scrollTop = 0;
    if (!pair) strip.show(items, at);
    // The image that is looked for next is most often the next one.
    Gallery.preload([1, -1, 2, 3].map((by) => items[at + by]).flatMap((each) => (each && "first" in each ? [each.first, each.second] : [each])));
    Gallery.change({ job: job.job_id }, { push: push && Gallery.state.job !== job.job_id });
  };

  // Show one of the items (jobs, or pairs of them); the arrows go through all. `closed` is called with the last one seen.
  Gallery.openDetail = (item, among, closed = () => {}) => {
    items = among;
    onClose = closed;
    const isNew = !dialog.open;
    if (!isNew && items[at] && jobOf(items[at]) === jobOf(item)) return;
    if (isNew) {
      Gallery.resetZoom();
      dialog.showModal();
    }
    show(items.indexOf(item), { push: isNew });
  };

  // The job that is open alone, if it can be judged, and the way to the next one.
  Gallery.detailTarget = () => (dialog.open && !("first" in items[at]) ? { jobs: items[at].thumbnail ? [items[at]] : [], next: () => step(1) } : null);

  Gallery.onChange((changed) => {
    if (!changed.includes("job") || Gallery.state.job || !dialog.open) return;
    leftByAddress = true;
    dialog.close();
  });
}
