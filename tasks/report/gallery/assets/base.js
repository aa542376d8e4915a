"use strict";
// Where the modules meet: one object, and the one way to make elements. Text becomes text, never markup.

const Gallery = { page: JSON.parse(document.getElementById("page-data").textContent) };

// Let the browser draw and answer before the work goes on. A timer would wait 4 ms each time, a message does not.
{
  const waiting = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => waiting.shift()();
  Gallery.pause = () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      port2.postMessage(null);
    });

  // Half of a screen's frame, so that keys and scrolling are answered in between.
  const PIECE_MS = 8;

  // Call `act(item, index)` for each, in short pieces; ends early where it gives false.
  Gallery.eachInPieces = async (items, act) => {
    let begun = performance.now();
    let index = 0;
    for (const item of items) {
      if (act(item, index) === false) return;
      index += 1;
      if (performance.now() - begun < PIECE_MS) continue;
      await Gallery.pause();
      begun = performance.now();
    }
  };
}

// A function as an attribute is a listener; `css` holds single declarations.
Gallery.element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "css") Object.assign(made.style, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
};
