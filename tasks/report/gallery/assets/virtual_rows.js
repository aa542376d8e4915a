"use strict";
// A list of any length of which only the rows in sight are in the document, and the arrow keys through it.

{
  const AHEAD_PX = 600;

  // The first index whose row ends below `y`; `ends` grows.
  const firstBelow = (ends, y) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] > y) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  // Rows of the given heights in pixels; `render(index)` makes one. `scroller` is what scrolls.
  Gallery.virtualRows = ({ scroller, heights, render, attributes = {} }) => {
    const ends = new Float64Array(heights.length);
    let sum = 0;
    heights.forEach((height, index) => {
      sum += height;
      ends[index] = sum;
    });
    const start = (index) => (index ? ends[index - 1] : 0);
    const list = Gallery.element("div", { ...attributes, css: { position: "relative", height: `${sum}px` } });
    const shown = new Map();

    const place = (index) => {
      if (shown.has(index)) return;
      const row = render(index);
      row.classList.add("virtual-row");
      row.dataset.row = index;
      row.setAttribute("aria-rowindex", index + 1);
      Object.assign(row.style, { transform: `translateY(${start(index)}px)`, height: `${heights[index]}px` });
      const next = [...list.children].find((other) => Number(other.dataset.row) > index);
      list.insertBefore(row, next ?? null);
      shown.set(index, row);
    };

    // The row that has the focus stays: without it the keyboard would be nowhere.
    const update = () => {
      const top = scroller.scrollTop - list.offsetTop;
      const first = firstBelow(ends, top - AHEAD_PX);
      const last = Math.min(heights.length - 1, firstBelow(ends, top + scroller.clientHeight + AHEAD_PX));
      for (const [index, row] of shown) {
        if ((index < first || index > last) && !row.contains(document.activeElement)) {
          row.remove();
          shown.delete(index);
        }
      }
      for (let index = first; index <= last; index += 1) place(index);
    };

    // Bring a row into sight, and give it.
    const show = (index) => {
      const top = start(index) + list.offsetTop;
      const bottom = ends[index] + list.offsetTop;
      const covered = list.previousElementSibling?.classList.contains("sticky") ? list.previousElementSibling.offsetHeight : 0;
      if (top - covered < scroller.scrollTop) scroller.scrollTop = top - covered;
      else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
      update();
      return shown.get(index);
    };

    let asked = false;
    const onScroll = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        update();
      });
    };
    scroller.addEventListener("scroll", onScroll, { passive: true });
    const close = () => scroller.removeEventListener("scroll", onScroll);
    const rows = { list, count: heights.length, update, show, close };
    list.addEventListener("keydown", (event) => move(rows, event));
    return rows;
  };

  const cards = (row) => [...row.querySelectorAll("button.card")];
  const middle = (card) => card.getBoundingClientRect().left + card.offsetWidth / 2;

  const nearest = (row, card) => {
    const distance = (other) => Math.abs(middle(other) - middle(card));
    return cards(row).reduce((best, other) => (best && distance(best) <= distance(other) ? best : other), null);
  };

  // The next row, this way, that has cards; null at the end.
  const rowBeyond = (rows, index, step) => {
    for (let at = index + step; at >= 0 && at < rows.count; at += step) {
      const row = rows.show(at);
      if (cards(row).length) return row;
    }
    return null;
  };

  const move = (rows, event) => {
    const card = event.target.closest("button.card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = card.closest(".virtual-row");
    const index = Number(row.dataset.row);
    const beside = cards(row);
    const at = beside.indexOf(card);
    const to = {
      ArrowLeft: () => beside[at - 1] ?? cards(rowBeyond(rows, index, -1) ?? row).at(-1),
      ArrowRight: () => beside[at + 1] ?? cards(rowBeyond(rows, index, 1) ?? row)[0],
      ArrowUp: () => nearest(rowBeyond(rows, index, -1) ?? row, card),
      ArrowDown: () => nearest(rowBeyond(rows, index, 1) ?? row, card),
      Home: () => cards(rowBeyond(rows, -1, 1))[0],
      End: () => cards(rowBeyond(rows, rows.count, -1)).at(-1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to()?.focus({ preventScroll: true });
  };
}
