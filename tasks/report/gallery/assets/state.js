"use strict";
// What the user has chosen. It stands in the address too, so a reload or a bookmark brings it back.

{
  const FILTER = "f.";
  const TEXTS = { view: "", text: "", rows: "", columns: "", job: "" };
  const listeners = [];

  const read = () => {
    const state = { ...TEXTS, filters: new Map() };
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      if (Object.hasOwn(TEXTS, key)) state[key] = value;
      else if (key.startsWith(FILTER)) {
        const name = key.slice(FILTER.length);
        state.filters.set(name, (state.filters.get(name) ?? new Set()).add(value));
      }
    }
    return state;
  };

  const write = (state) => {
    const found = new URLSearchParams();
    for (const key of Object.keys(TEXTS)) if (state[key]) found.append(key, state[key]);
    for (const [name, values] of state.filters) for (const value of values) found.append(FILTER + name, value);
    return `#${found}`;
  };

  Gallery.state = read();

  const tell = (keys) => {
    for (const listener of listeners) listener(keys);
  };

  // Take over new values, then tell everyone which ones. With `push`, the browser's Back takes them back.
  Gallery.change = (patch, { push = false } = {}) => {
    Object.assign(Gallery.state, patch);
    if (push) history.pushState({ pushed: true }, "", write(Gallery.state));
    else history.replaceState(history.state, "", write(Gallery.state));
    tell(Object.keys(patch));
  };

  Gallery.onChange = (listener) => listeners.push(listener);

  // Choose or give up one value of a filter.
  Gallery.toggleFilter = (name, value, chosen) => {
    const filters = new Map(Gallery.state.filters);
    const values = new Set(filters.get(name));
    if (chosen) values.add(value);
    else values.delete(value);
    if (values.size) filters.set(name, values);
    else filters.delete(name);
    Gallery.change({ filters });
  };

  const shown = (state, key) => (key === "filters" ? write({ ...TEXTS, filters: state.filters }) : state[key]);

  // Back, Forward, or another address: what stays the same keeps its place.
  window.addEventListener("hashchange", () => {
    const found = read();
    const changed = Object.keys(found).filter((key) => shown(found, key) !== shown(Gallery.state, key));
    for (const key of changed) Gallery.state[key] = found[key];
    if (changed.length) tell(changed);
  });
}
