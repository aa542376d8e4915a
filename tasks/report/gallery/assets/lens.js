"use strict";
// How images are looked at: whole, or at some scale around a point. One lens serves every image that is open, so the
// zoom stays from image to image, and images side by side move together.

{
  const WHEEL = 1.0015;
  const SCALES = { least: 0.05, most: 16 };
  const DRAG_PX = 4;

  // `scale` in pixels of the screen for each of the image's; null shows the whole image. `u`, `v`: the share of the
  // image's width and height that stands in the middle.
  const lens = { scale: null, u: 0.5, v: 0.5 };
  const stages = new Set();

  const density = () => window.devicePixelRatio || 1;

  // Where the image lies in its stage, in CSS pixels.
  const place = ({ box, size }) => {
    const [across, down] = size();
    const whole = Math.min(box.clientWidth / across, box.clientHeight / down, 1);
    const scale = lens.scale === null ? whole : lens.scale / density();
    const along = (length, room, share) => (length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, room / 2 - share * length)));
    return { scale, whole, x: along(across * scale, box.clientWidth, lens.u), y: along(down * scale, box.clientHeight, lens.v), across, down };
  };

  const draw = (stage) => {
    const { scale, x, y, across, down } = place(stage);
    Object.assign(stage.image.style, { width: `${across}px`, height: `${down}px`, transform: `translate(${x}px, ${y}px) scale(${scale})` });
    stage.box.classList.toggle("zoomed", lens.scale !== null);
  };

  const drawAll = () => {
    for (const stage of stages) {
      if (stage.box.isConnected) draw(stage);
      else stages.delete(stage);
    }
    for (const listener of listeners) listener(lens.scale !== null);
  };

  const listeners = [];
  Gallery.onZoom = (listener) => listeners.push(listener);

  // Change the scale so that the image's point under (`x`, `y`) of the stage stays where it is.
  const scaleAt = (stage, scale, x, y) => {
    const before = place(stage);
    const u = (x - before.x) / (before.across * before.scale);
    const v = (y - before.y) / (before.down * before.scale);
    lens.scale = scale;
    if (scale !== null) {
      const shown = scale / density();
      lens.u = u + (stage.box.clientWidth / 2 - x) / (before.across * shown);
      lens.v = v + (stage.box.clientHeight / 2 - y) / (before.down * shown);
      const inside = (share, length, room) => Math.min(1 - Math.min(0.5, room / 2 / length), Math.max(Math.min(0.5, room / 2 / length), share));
      lens.u = inside(lens.u, before.across * shown, stage.box.clientWidth);
      lens.v = inside(lens.v, before.down * shown, stage.box.clientHeight);
    }
    drawAll();
  };

  const panBy = (stage, dx, dy) => {
    const { scale, across, down } = place(stage);
    const clamp = (share) => Math.min(1, Math.max(0, share));
    lens.u = clamp(lens.u - dx / (across * scale));
    lens.v = clamp(lens.v - dy / (down * scale));
    drawAll();
  };

  // 100 % at this point, or the whole image again. Without a point: the middle.
  const toggle = (stage, x = stage.box.clientWidth / 2, y = stage.box.clientHeight / 2) => scaleAt(stage, lens.scale === null ? 1 : null, x, y);

  Gallery.toggleZoom = () => {
    const stage = [...stages].find(({ box }) => box.isConnected && box.clientWidth);
    if (stage) toggle(stage);
  };

  // A new visit begins with the whole image.
  Gallery.resetZoom = () => {
    Object.assign(lens, { scale: null, u: 0.5, v: 0.5 });
    drawAll();
  };

  const offset = (box, event) => {
    const { left, top } = box.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };

  // Make `box` show `image` through the lens. `size` gives the image's own size; `swipe` is called with -1 or 1.
  Gallery.lookThrough = (box, image, size, swipe = () => {}) => {
    const stage = { box, image, size };
    stages.add(stage);
    new ResizeObserver(() => box.isConnected && draw(stage)).observe(box);
    image.addEventListener("load", () => draw(stage));
    let from = null;
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      from = { x: event.clientX, y: event.clientY, startX: event.clientX, startY: event.clientY, moved: false };
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (!from || !event.isPrimary) return;
      from.moved ||= Math.hypot(event.clientX - from.startX, event.clientY - from.startY) > DRAG_PX;
      if (lens.scale !== null && from.moved) panBy(stage, event.clientX - from.x, event.clientY - from.y);
      [from.x, from.y] = [event.clientX, event.clientY];
    });
    box.addEventListener("pointerup", (event) => {
      if (!from || !event.isPrimary) return;
      const [dx, dy, { moved }] = [event.clientX - from.startX, event.clientY - from.startY, from];
      from = null;
      if (!moved) toggle(stage, ...offset(box, event));
      // A finger moves on to the next image, as long as there is nothing to pan.
      else if (lens.scale === null && event.pointerType !== "mouse" && Math.abs(dx) > 40 && Math.abs(dx) > 2 * Math.abs(dy)) swipe(dx < 0 ? 1 : -1);
    });
    box.addEventListener("pointercancel", () => {
      from = null;
    });
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { scale, whole } = place(stage);
      const wanted = scale * density() * WHEEL ** -event.deltaY;
      scaleAt(stage, wanted <= whole * density() ? null : Math.min(SCALES.most, Math.max(SCALES.least, wanted)), ...offset(box, event));
    }, { passive: false });
    return stage;
  };
}
