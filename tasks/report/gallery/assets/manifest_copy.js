"use strict";
// A job's manifest row on the clipboard, and what it needs beside it to make the same image.

{
  // Pages from files have the clipboard in some browsers only; a selection can be copied in all.
  const bySelection = (text, host) => {
    const field = Gallery.element("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
    field.value = text;
    host.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  };

  // Whether it worked; `host` is an element in the open dialog.
  Gallery.copyText = async (text, host) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return bySelection(text, host);
    }
  };

  Gallery.rowAdvice = (job) => {
    if (job.image_row) return "It makes the same image as a job of its own: no row gives this job again.";
    return [
      job.sample && `The row makes samples 0 to ${job.sample}; this one is the last.`,
      job.earlier && `${job.earlier} identical row(s) stood before it and are copied with it.`,
      job.salt && `Run it with --salt ${job.salt}.`,
    ].filter(Boolean).join(" ");
  };
}
