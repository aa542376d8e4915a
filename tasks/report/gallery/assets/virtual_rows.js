"use strict";
// A list of any length of which only the rows in sight are in the document, and the arrow keys through it.

{
  const AHEAD_PX = 600;
  const REST_MS = 90;
  // Browsers cut elements off: Firefox at 17.9 million pixels, Chromium and WebKit at 33.5 million.
  const HIGHEST_PX = 15_000_000;
  const LINE_PX = 40;

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

  // Where a list of `total` pixels stands that `scroller` moves through: pixel by pixel, or, where no browser holds a list as
  // high, by the share of it that is scrolled past.
  const position = (scroller, list, total) => {
    const height = Math.min(total, HIGHEST_PX);
    const isMapped = total > height;
    const ranges = () => [Math.max(1, height - scroller.clientHeight), Math.max(1, total - scroller.clientHeight)];
    let top = 0;
    let seen = 0;
    const real = () => scroller.scrollTop - list.offsetTop;

    // The first pixel of the list that is in sight; negative while something above it is.
    const read = () => {
      const now = real();
      if (!isMapped || now < 0) return now;
      const [scrolled, all] = ranges();
      if (Math.abs(now - seen) > 1) top = Math.min(all, (now / scrolled) * all);
      seen = now;
      return top;
    };
    const move = (to) => {
      if (!isMapped) {
        scroller.scrollTop = to + list.offsetTop;
        return;
      }
      const [scrolled, all] = ranges();
      top = Math.min(all, Math.max(0, to));
      scroller.scrollTop = (top / all) * scrolled + list.offsetTop;
      seen = real();
    };
    return { height, isMapped, read, move, shift: () => (isMapped ? Math.max(0, real()) - Math.max(0, read()) : 0) };
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
    const list = Gallery.element("div", { ...attributes, css: { position: "relative" } });
    const place = position(scroller, list, sum);
    list.classList.add("virtual-list");
    list.style.height = `${place.height}px`;
    const shown = new Map();
    let current = null;

    const put = (index) => {
      if (shown.has(index)) return;
      const row = render(index);
      row.classList.add("virtual-row");
      row.dataset.row = index;
      row.setAttribute("aria-rowindex", index + 1);
      row.style.height = `${heights[index]}px`;
      const next = [...list.children].find((other) => Number(other.dataset.row) > index);
      list.insertBefore(row, next ?? null);
      shown.set(index, row);
    };

    // One card is on the way of the Tab key; the arrows lead to the others.
    const keepTabStop = () => {
      const all = [...list.querySelectorAll("button.card")];
      const stop = all.find((card) => card.dataset.job === current) ?? all[0];
      for (const card of all) card.tabIndex = card === stop ? 0 : -1;
    };

    const load = () => {
      for (const image of list.querySelectorAll("img[data-src]")) {
        image.src = image.dataset.src;
        delete image.dataset.src;
      }
    };

    // The row that has the focus stays: without it the keyboard would be nowhere.
    const update = ({ rests = true } = {}) => {
      const top = place.read();
      const first = firstBelow(ends, top - AHEAD_PX);
      const last = Math.min(heights.length - 1, firstBelow(ends, top + scroller.clientHeight + AHEAD_PX));
      for (const [index, row] of shown) {
        if ((index < first || index > last) && !row.contains(document.activeElement)) {
          row.remove();
          shown.delete(index);
        }
      }
      for (let index = first; index <= last; index += 1) put(index);
      const shift = place.shift();
      for (const [index, row] of shown) row.style.transform = `translateY(${start(index) + shift}px)`;
      keepTabStop();
      if (rests) load();
    };

    // Bring a row into sight, and give it.
    const show = (index) => {
      const covered = list.previousElementSibling?.classList.contains("sticky") ? list.previousElementSibling.offsetHeight : 0;
      const top = place.read();
      if (start(index) - covered < top) place.move(start(index) - covered);
      else if (ends[index] > top + scroller.clientHeight) place.move(ends[index] - scroller.clientHeight);
      update();
      return shown.get(index);
    };

    // A drag through thousands of rows asks for no image on its way: only once it rests, or goes at a reader's pace.
    let asked = false;
    let timer = 0;
    let before = scroller.scrollTop;
    const onScroll = () => {
      clearTimeout(timer);
      timer = setTimeout(load, REST_MS);
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        const slow = Math.abs(scroller.scrollTop - before) < scroller.clientHeight / 2;
        before = scroller.scrollTop;
        update({ rests: slow });
      });
    };
    // A mapped list moves by what the wheel says, not by what the bar's share of it would be.
    const onWheel = (event) => {
      if (event.ctrlKey || event.shiftKey || place.read() < 0) return;
      const by = event.deltaY * (event.deltaMode === 1 ? LINE_PX : event.deltaMode === 2 ? scroller.clientHeight : 1);
      if (place.read() + by < 0) return;
      event.preventDefault();
      place.move(place.read() + by);
      update();
    };
    scroller.addEventListener("scroll", onScroll, { passive: true });
    if (place.isMapped) scroller.addEventListener("wheel", onWheel, { passive: false });
    const fill = (most) => {
      for (let index = 0; index < Math.min(most, heights.length); index += 1) put(index);
      for (const [index, row] of shown) row.hidden = index >= most;
      load();
    };
    const restore = () => {
      for (const row of shown.values()) row.hidden = false;
      update();
    };
    Gallery.printNext({ count: heights.length, fill, restore });
    const close = () => {
      Gallery.printNext(null);
      clearTimeout(timer);
      scroller.removeEventListener("scroll", onScroll);
      scroller.removeEventListener("wheel", onWheel);
    };
    const rows = { list, count: heights.length, update, show, close };
    list.addEventListener("keydown", (event) => move(rows, event));
    list.addEventListener("focusin", (event) => {
      current = event.target.closest("button.card")?.dataset.job ?? current;
      keepTabStop();
    });
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
