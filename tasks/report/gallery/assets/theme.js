"use strict";
// Light or dark: the system's, until the switch says otherwise.

{
  const KEPT = "imagen-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];

  // A browser may refuse to keep anything for a page from a file.
  const kept = () => {
    try {
      return localStorage.getItem(KEPT);
    } catch {
      return null;
    }
  };

  const keep = (theme) => {
    try {
      localStorage.setItem(KEPT, theme);
    } catch {
      // It holds for this visit then.
    }
  };

  let own = kept();

  const apply = () => {
    document.documentElement.style.colorScheme = own ?? "light dark";
    for (const listener of listeners) listener();
  };

  Gallery.theme = () => own ?? (system.matches ? "dark" : "light");

  Gallery.onTheme = (listener) => {
    listeners.push(listener);
    listener();
  };

  Gallery.themeSwitch = () => {
    const button = Gallery.element("button", {
      class: "quiet theme",
      "aria-label": "Dark mode",
      click: () => {
        own = Gallery.theme() === "dark" ? "light" : "dark";
        keep(own);
        apply();
      },
    });
    Gallery.onTheme(() => {
      const dark = Gallery.theme() === "dark";
      button.setAttribute("aria-pressed", dark);
      button.textContent = dark ? "☀" : "☾";
    });
    return button;
  };

  system.addEventListener("change", apply);
  apply();
}
