"use strict";
// What can be done with a job: open or save its file, copy the command or the row that makes it again.

{
  const { element, format } = Gallery;
  const ID_CHARACTERS = 12;

  const FILE_LINKS = [
    ["Open original", (job) => ({ class: "main open", target: "_blank", rel: "noopener", href: format.url(job.batch, job.file_name) })],
    ["Download", (job) => ({ class: "side download", download: "", href: format.url(job.batch, job.file_name) })],
  ];

  // What can be done with a job: its file, the command that makes another image of its row, and the row itself.
  Gallery.actions = (job) => {
    const texts = {
      "Copy reroll command": [() => Gallery.command("reroll", Gallery.folderOf(job.batch), "--id", job.job_id.slice(0, ID_CHARACTERS)), "the command", "reroll"],
      "Copy as manifest row": [() => job.image_row ?? job.lines, "the row", "copy"],
    };
    const told = element("p", { class: "told", role: "status" });
    const shown = element("details", { hidden: true }, element("summary"), element("pre", { class: "row", dir: "auto" }));
    const copy = async (label) => {
      const [write, name] = texts[label];
      // A browser lets a page copy only while it answers a click, so the details are asked for before.
      if (!job.hasDetails) {
        told.textContent = "The details of this image are not loaded yet. Try again.";
        return;
      }
      const text = write();
      shown.hidden = false;
      shown.firstChild.textContent = name;
      shown.lastChild.textContent = text;
      const copied = await Gallery.copyText(text, told);
      const advice = name === "the row" ? Gallery.rowAdvice(job) : "";
      told.textContent = copied ? `Copied. ${advice}`.trim() : `Copying is not allowed here; ${name} stands below.`;
      shown.open = !copied;
    };
    const links = job.thumbnail ? FILE_LINKS.map(([label, attributes]) => element("a", attributes(job), label)) : [];
    const buttons = Object.entries(texts).map(([label, [, , name]]) =>
      element("button", { class: `side ${name}`, type: "button", click: () => copy(label) }, label));
    return element("div", { class: "copying" }, element("div", { class: "actions" }, links, buttons), told, shown);
  };
}
