"use strict";
// The samples of one row belong together: one of them is chosen, the others are not.

{
  const SEPARATOR = "\u0000";

  const keyOf = (job) => [job.line, job.salt, job.id ?? "", job.model, job.prompt].join(SEPARATOR);

  // Jobs by their manifest's line: nearly always one, which needs no further look.
  const byLine = async (jobs) => {
    const lines = new Map();
    await Gallery.eachInPieces(jobs, (job) => {
      const { line } = job;
      const found = lines.get(line);
      if (found) found.push(job);
      else lines.set(line, [job]);
    });
    return lines.values();
  };

  const group = (ofLine) => {
    const groups = new Map();
    for (const job of ofLine) {
      const key = keyOf(job);
      if (!groups.has(key)) groups.set(key, []);
      if (job.thumbnail) groups.get(key).push(job);
      job.samples = groups.get(key);
    }
  };

  // Give each job that has some the list of its row's images.
  Gallery.groupSamples = async (jobs) => Gallery.eachInPieces(await byLine(jobs), (ofLine) => void (ofLine.length > 1 && group(ofLine)));

  Gallery.samplesOf = (job) => (job.samples?.includes(job) ? job.samples : [job]);

  const rank = (job) => {
    const { verdict, rating } = Gallery.countingVerdict(job);
    return { pick: 10, reject: -10 }[verdict] ?? rating ?? 0;
  };

  // One job for each row: the picked one, else the best rated, else the first; `stacked` holds all that are chosen.
  Gallery.stackSamples = (jobs) => {
    const stacks = new Map();
    for (const job of jobs) {
      const key = job.samples ?? job;
      if (stacks.has(key)) stacks.get(key).push(job);
      else stacks.set(key, [job]);
    }
    return [...stacks.values()].map((stack) => {
      const best = stack.reduce((one, other) => (rank(other) > rank(one) ? other : one));
      best.stacked = stack;
      return best;
    });
  };
}
