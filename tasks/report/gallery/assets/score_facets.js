"use strict";
// Scores as filters: texts and yes or no by their values, numbers by round steps.

{
  const SCORE = "s.";
  const MANY = 100;
  const STEPS = 6;
  const FEW = 12;

  // 1, 2 or 5 times a power of ten, so that the range takes about as many steps as wanted.
  const roundStep = (range) => {
    const power = 10 ** Math.floor(Math.log10(range / STEPS));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => range / step <= STEPS);
  };

  const label = (from, step) => {
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    return `${from.toFixed(digits)} to ${(from + step).toFixed(digits)}`;
  };

  const stepped = (values) => {
    const numbers = values.filter((value) => typeof value === "number");
    const [least, most] = numbers.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const step = roundStep(most - least);
    const first = Math.floor(least / step);
    // What stands on the highest edge belongs to the last step.
    const last = Math.max(first, Math.ceil(most / step) - 1);
    const places = new Map();
    for (let at = first; at <= last; at += 1) places.set(label(at * step, step), at - first);
    const at = Int32Array.from(values, (value) => (typeof value === "number" ? Math.min(last, Math.floor(value / step)) - first : -1));
    return { places, at };
  };

  // Null where a score is a text of its own for nearly every image.
  Gallery.scoreFacet = (jobs, name) => {
    const found = Gallery.indexColumn(jobs, "scores", name, MANY);
    const kinds = found && [...found.places.keys()];
    const isNumber = found ? kinds.length > FEW && kinds.every((value) => typeof value === "number") : Gallery.isNumeric(jobs, name);
    if (!found && !isNumber) return null;
    const { places, at } = isNumber ? stepped(jobs.map((job) => Gallery.readColumn(job, "scores", name))) : found;
    const named = new Map([...places].map(([value, place]) => [String(value), place]));
    return { key: SCORE + name, title: name, values: [...named.keys()], places: named, at };
  };

  // Whether all values of a score are numbers, by the first script that has any.
  Gallery.isNumeric = (jobs, name) => {
    for (const part of Gallery.partsOf(jobs)) {
      const values = part.scores.find(([each]) => each === name)?.[1].values.filter((value) => value !== null);
      if (values?.length) return values.every((value) => typeof value === "number");
    }
    return false;
  };
}
