"use strict";
// The samples of one row belong together: one of them is chosen, the others are not.

{
  const SEPARATOR = "\u0000";
  const AT_ONCE = 1_000;

  const keyOf = (job) => [job.line, job.salt, job.asked.id ?? "", job.model, job.asked.prompt].join(SEPARATOR);

  // Give each job the list of its row's images.
  Gallery.groupSamples = async (jobs) => {
    const groups = new Map();
    for (let i = 0; i < jobs.length; i += 1) {
      const key = keyOf(jobs[i]);
      if (!groups.has(key)) groups.set(key, []);
      if (jobs[i].thumbnail) groups.get(key).push(jobs[i]);
      jobs[i].samples = groups.get(key);
      if (i % AT_ONCE === AT_ONCE - 1) await Gallery.pause();
    }
  };

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
