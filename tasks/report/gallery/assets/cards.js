"use strict";
// One job as a card: its image, or why there is none, and what it was made with.

{
  const { element, format } = Gallery;

  const WAITING = { planned: "to do", submitting: "being sent", submitted: "being made" };

  // Why there is no image, in a word or two and in full.
  Gallery.reasonOf = (job) => {
    if (job.trouble) return [job.thumbnail ? "changed" : "missing", job.trouble];
    if (job.state in WAITING) return [WAITING[job.state], ""];
    return [job.error_kind ?? job.state, job.error_message ?? ""];
  };

  const note = (job) => {
    const [word, reason] = Gallery.reasonOf(job);
    const kind = job.state in WAITING && !job.trouble ? "waiting" : "bad";
    return element("span", { class: `note ${kind}` }, element("b", {}, word), element("span", { dir: "auto" }, reason));
  };

  // The small image of a job, or a note.
  Gallery.thumbnail = (job) => {
    if (!job.thumbnail) return note(job);
    const image = element("img", {
      // virtual_rows.js lets it load once scrolling rests.
      "data-src": format.url(job.batch, `gallery/thumbnails/${job.thumbnail}`),
      alt: "",
      decoding: "async",
      draggable: "false",
      error: () => image.replaceWith(note({ ...job, trouble: "its thumbnail cannot be loaded" })),
    });
    return image;
  };

  Gallery.costOf = (job) => (job.cost_source === "free" && job.cost_usd === 0 ? "free" : format.cost(job.cost_usd));

  Gallery.metaOf = (job) =>
    [
      `seed ${job.seed}`,
      format.size(job.width ?? job.asked.width, job.height ?? job.asked.height) ?? job.asked.aspect_ratio,
      job.model,
      job.state === "succeeded" || job.cost_usd ? Gallery.costOf(job) : null,
    ].filter(Boolean).join(" · ");

  // A button with the image in the given size; `choose` is called with the job.
  Gallery.card = (job, { width, height, caption = true, choose }) => {
    const card = element(
      "button",
      {
        class: "card",
        type: "button",
        "data-job": job.job_id,
        "aria-label": caption ? null : job.prompt,
        title: caption ? null : job.name || job.prompt,
        tabindex: -1,
        css: { width: `${width}px` },
        click: (event) => choose(job, event),
      },
      element("span", { class: "frame", css: { height: `${height}px` } }, Gallery.thumbnail(job)),
      caption && element("span", { class: "prompt", dir: "auto" }, job.prompt),
      caption && element("span", { class: "meta" }, Gallery.metaOf(job)),
    );
    Gallery.badge(card, job);
    return card;
  };
}
