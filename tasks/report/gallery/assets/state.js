"use strict";
// What the user has chosen. It stands in the address too, so a reload or a bookmark brings it back.

{
  // Chosen values of a filter, and those that are not wanted.
  const LISTS = { "f.": "filters", "n.": "nots" };
  const TEXTS = { view: "", text: "", rows: "", columns: "", sort: "", size: "", stack: "", job: "" };
  const listeners = [];

  const read = () => {
    const state = { ...TEXTS, filters: new Map(), nots: new Map() };
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      if (Object.hasOwn(TEXTS, key)) state[key] = value;
      else if (key.slice(0, 2) in LISTS) {
        const [chosen, name] = [state[LISTS[key.slice(0, 2)]], key.slice(2)];
        chosen.set(name, (chosen.get(name) ?? new Set()).add(value));
      }
    }
    return state;
  };

  const write = (state) => {
    const found = new URLSearchParams();
    for (const key of Object.keys(TEXTS)) if (state[key]) found.append(key, state[key]);
    for (const [start, list] of Object.entries(LISTS)) {
      for (const [name, values] of state[list]) for (const value of values) found.append(start + name, value);
    }
    return `#${found}`;
  };

  Gallery.state = read();
  let isLeaving = false;

  const tell = (keys) => {
    for (const listener of listeners) listener(keys);
  };

  // Take over new values, then tell everyone which ones. With `push`, the browser's Back takes them back.
  Gallery.change = (patch, { push = false } = {}) => {
    Object.assign(Gallery.state, patch);
    try {
      if (push && !isLeaving) history.pushState({ pushed: true }, "", write(Gallery.state));
      else history.replaceState(history.state, "", write(Gallery.state));
    } catch {
      // Safari and Firefox refuse more than some hundred changes in ten seconds, which a held key makes. The next one is told.
    }
    tell(Object.keys(patch));
  };

  // Take over new values in place of the address that was pushed, as the browser's Back does.
  // The browser goes back some moments later: what is chosen until then must not be undone by the older address.
  Gallery.leave = (patch) => {
    if (isLeaving || !history.state?.pushed) return Gallery.change(patch);
    isLeaving = true;
    Object.assign(Gallery.state, patch);
    tell(Object.keys(patch));
    return history.back();
  };

  Gallery.onChange = (listener) => listeners.push(listener);

  const changed = (map, name, value, chosen) => {
    const found = new Map(map);
    const values = new Set(found.get(name));
    if (chosen) values.add(value);
    else values.delete(value);
    if (values.size) found.set(name, values);
    else found.delete(name);
    return found;
  };

  // Choose one value of a filter ("is"), leave it out ("not"), or give it up ("").
  Gallery.chooseValue = (name, value, how) => {
    const { filters, nots } = Gallery.state;
    Gallery.change({ filters: changed(filters, name, value, how === "is"), nots: changed(nots, name, value, how === "not") });
  };

  Gallery.clearFilters = () => Gallery.change({ filters: new Map(), nots: new Map(), text: "" });

  // What a saved view keeps: everything but the open image.
  Gallery.currentView = () => write({ ...Gallery.state, job: "" });

  const EMPTY = { ...TEXTS, filters: new Map(), nots: new Map() };
  const shown = (state, key) => (key in TEXTS ? state[key] : write({ ...EMPTY, [key]: state[key] }));

  // Gone back after `leave`.
  window.addEventListener("popstate", () => {
    if (!isLeaving) return;
    isLeaving = false;
    history.replaceState(history.state, "", write(Gallery.state));
  });
  // Back, Forward, or another address: what stays the same keeps its place.
  window.addEventListener("hashchange", () => {
    const found = read();
    const changed = Object.keys(found).filter((key) => shown(found, key) !== shown(Gallery.state, key));
    for (const key of changed) Gallery.state[key] = found[key];
    if (changed.length) tell(changed);
  });
}
