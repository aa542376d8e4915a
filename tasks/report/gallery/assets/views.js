"use strict";
// Saved views: filters, search, order and size under a name, kept in the browser.

{
  const { element } = Gallery;
  const KEPT = `imagen-views:${Gallery.page.batches.map(({ key }) => key).join(" ")}`;
  const MOST_CHARACTERS = 80;

  const load = () => {
    try {
      return new Map(Object.entries(JSON.parse(localStorage.getItem(KEPT) ?? "{}")));
    } catch {
      return new Map();
    }
  };

  const save = (views) => {
    try {
      localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(views)));
      return true;
    } catch {
      return false;
    }
  };

  // A button with the list of views, and a field that saves the current one.
  Gallery.viewMenu = () => {
    const list = element("ul", { class: "saved-views" });
    const told = element("p", { class: "hint", role: "status" });
    const field = element("input", { type: "text", maxlength: MOST_CHARACTERS, placeholder: "Name of this view", "aria-label": "Name of this view", dir: "auto" });
    const fill = () => {
      list.replaceChildren(...[...load()].map(([name, address]) =>
        element("li", {},
          element("button", { class: "quiet view", type: "button", dir: "auto", click: () => { location.hash = address; menu.open = false; } }, name),
          element("button", { class: "quiet", type: "button", "aria-label": `Remove the view ${name}`, click: () => { const views = load(); views.delete(name); save(views); fill(); } }, "✕"))));
    };
    const form = element("form", { submit: (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (!name) return;
      told.textContent = save(load().set(name, Gallery.currentView())) ? "" : "This browser stores nothing for this page. A bookmark keeps the view too.";
      field.value = "";
      fill();
    } }, field, element("button", { class: "side", type: "submit" }, "Save"));
    const menu = element("details", { class: "menu", keydown: (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.firstChild.focus();
      event.stopPropagation();
    } }, element("summary", { class: "chip" }, "Views"), element("div", { class: "menu-body" }, list, form, told));
    fill();
    return menu;
  };
}
