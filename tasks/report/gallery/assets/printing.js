"use strict";
// Printing: a list holds only the rows in sight, and paper has no scrolling.

{
  // Some forty sheets of paper. Whoever wants others chooses by a filter what is printed.
  const MOST_ROWS = 200;
  const note = Gallery.element("p", { class: "printed" });
  document.getElementById("content").before(note);
  let list = null;

  // The list that is shown, or null: `fill(most)` puts its first rows into the document, `restore` those in sight alone.
  Gallery.printNext = (shown) => {
    list = shown;
  };

  window.addEventListener("beforeprint", () => {
    list?.fill(MOST_ROWS);
    const { format } = Gallery;
    note.textContent = list?.count > MOST_ROWS
      ? `The first ${format.number(MOST_ROWS)} of ${format.number(list.count)} rows. Choose by a filter what is printed.` : "";
  });
  window.addEventListener("afterprint", () => list?.restore());
}
