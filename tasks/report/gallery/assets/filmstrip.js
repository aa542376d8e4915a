"use strict";
// The images before and after the open one, small, in a row below it.

{
  const { element, format } = Gallery;
  const EACH_SIDE = 12;

  // `choose` is called with the index of an item.
  Gallery.filmstrip = (choose) => {
    const strip = element("div", { class: "filmstrip", role: "group", "aria-label": "Images before and after" });

    strip.show = (items, at) => {
      const first = Math.max(0, at - EACH_SIDE);
      const frames = items.slice(first, at + EACH_SIDE + 1).map((job, place) => {
        const index = first + place;
        const image = job.thumbnail && element("img", { src: format.url(job.batch, `gallery/thumbnails/${job.thumbnail}`), alt: "", draggable: "false" });
        const frame = element("button", { class: "card strip", type: "button", tabindex: index === at ? 0 : -1, "data-job": job.job_id,
          "aria-label": job.name || job.prompt, "aria-current": index === at ? "true" : null, click: () => choose(index) }, element("span", { class: "frame" }, image));
        Gallery.badge(frame, job);
        return frame;
      });
      strip.replaceChildren(...frames);
      const current = frames[at - first];
      if (current) strip.scrollLeft = current.offsetLeft - strip.clientWidth / 2 + current.offsetWidth / 2;
    };
    return strip;
  };
}
