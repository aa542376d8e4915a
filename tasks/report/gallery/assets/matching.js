"use strict";
// Which image of one batch belongs to which of the other: by row id and sample; without an id, or where the other
// batch does not know it, by prompt, own seed, size, the row's other columns and the sample, one after the other.

{
  const byId = (job) => (job.id === null ? null : JSON.stringify([job.id, job.sample]));

  const byContent = (job) => {
    const { prompt, negative_prompt, seed, width, height, aspect_ratio, image, mask } = job.asked;
    const extra = [...job.extra].sort(([one], [other]) => (one < other ? -1 : 1));
    return JSON.stringify([prompt, negative_prompt, seed, width, height, aspect_ratio, image, mask, job.sample, extra]);
  };

  const pairUp = (pairs, rest, keyOf) => {
    const free = new Map();
    for (const job of rest) {
      const key = keyOf(job);
      if (key === null) continue;
      if (free.has(key)) free.get(key).push(job);
      else free.set(key, [job]);
    }
    for (const pair of pairs) {
      if (!pair.second) pair.second = free.get(keyOf(pair.first))?.shift() ?? null;
    }
    const taken = new Set(pairs.map((pair) => pair.second));
    return rest.filter((job) => !taken.has(job));
  };

  // Pairs in the order of the first batch, then what only the second one has.
  Gallery.match = (firstJobs, secondJobs) => {
    const pairs = firstJobs.map((first) => ({ first, second: null }));
    const rest = pairUp(pairs, pairUp(pairs, secondJobs, byId), byContent);
    return [...pairs, ...rest.map((second) => ({ first: null, second }))];
  };
}
