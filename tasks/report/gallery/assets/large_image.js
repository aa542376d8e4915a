"use strict";
// A job's image in full size. Those beside the open one are loaded and decoded before they are asked for.

{
  const { element, format } = Gallery;
  const KEPT = 10;
  const made = new Map();

  const hrefOf = (job) => format.url(job.batch, job.file_name);

  // The decoded element itself is shown later: a new one would be decoded again.
  const load = (job) => {
    const href = hrefOf(job);
    const image = made.get(href) ?? element("img", { src: href, alt: job.prompt, draggable: "false", decoding: "async" });
    made.delete(href);
    made.set(href, image);
    for (const [other, old] of made) {
      if (made.size <= KEPT) break;
      if (!old.isConnected) made.delete(other);
    }
    return image;
  };

  Gallery.preload = (jobs) => {
    for (const job of jobs) if (job?.thumbnail) load(job).decode().catch(() => {});
  };

  // The stage of one job: its image through the lens, or why there is none.
  Gallery.largeImage = (job, swipe) => {
    const box = element("div", { class: "stage" });
    if (!job.thumbnail) {
      box.append(Gallery.thumbnail(job));
      return box;
    }
    // One that is open in another stage, as both halves of a pair of equal files may be, gets an element of its own.
    const kept = load(job);
    const image = kept.isConnected ? kept.cloneNode() : kept;
    box.classList.add("lens");
    box.append(image);
    const fail = () => {
      made.delete(hrefOf(job));
      box.classList.remove("lens");
      box.replaceChildren(element("span", { class: "note bad" }, element("b", {}, "missing"), job.file_name));
    };
    image.addEventListener("error", fail, { once: true });
    if (image.complete && !image.naturalWidth) fail();
    Gallery.lookThrough(box, image, () => [image.naturalWidth || job.width || 1, image.naturalHeight || job.height || 1], swipe);
    return box;
  };
}
