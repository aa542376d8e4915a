"use strict";
// The order of the images: the manifest's own, or by one of their facts.

{
  const RANDOM = "random:";
  const SCORE = "score:";
  const LOW = "low:";
  const NOTHING = -Infinity;

  // What is sorted by, the highest first; what has no value stands last.
  const ORDERS = {
    newest: ["Newest", (job) => job.completed_at_us],
    cost: ["Most expensive", (job) => job.cost_usd],
    latency: ["Slowest", (job) => job.latency_ms],
    rating: ["Best rated", (job) => Gallery.countingVerdict(job).rating],
  };

  // A number that looks like chance and is the same at every visit: of the first digits of the job's id, and the seed.
  const mix = (job, seed) => {
    let value = (parseInt(job.job_id.slice(0, 8), 16) ^ Math.imul(seed, 0x9e3779b1)) >>> 0;
    value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
    value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
    return (value ^ (value >>> 16)) >>> 0;
  };

  const scoreOf = (name, sign) => (job) => {
    const value = Gallery.readColumn(job, "scores", name);
    return typeof value === "number" ? sign * value : NOTHING;
  };

  const valueOf = (order) => {
    if (order.startsWith(RANDOM)) return (job) => mix(job, Number(order.slice(RANDOM.length)) || 0);
    if (order.startsWith(SCORE)) return scoreOf(order.slice(SCORE.length), 1);
    if (order.startsWith(LOW)) return scoreOf(order.slice(LOW.length), -1);
    return ORDERS[order]?.[1] ?? null;
  };

  Gallery.ordered = (jobs) => {
    const of = valueOf(Gallery.state.sort);
    if (!of) return jobs;
    const found = jobs.map((job, place) => ({ job, place, value: of(job) ?? NOTHING }));
    found.sort((one, other) => (one.value === other.value ? one.place - other.place : other.value > one.value ? 1 : -1));
    return found.map(({ job }) => job);
  };

  // [key, title] of each order.
  Gallery.orders = (jobs) => [
    ["", "Manifest order"],
    ...Object.entries(ORDERS).map(([key, [title]]) => [key, title]),
    ...Gallery.columnNames(jobs, "scores").filter((name) => Gallery.isNumeric(jobs, name))
      .flatMap((name) => [[SCORE + name, `Highest ${name}`], [LOW + name, `Lowest ${name}`]]),
    [RANDOM, "Random"],
  ];

  // Each choice of "Random" is another shuffle, and its number stands in the address.
  Gallery.chooseOrder = (key) => Gallery.change({ sort: key === RANDOM ? `${RANDOM}${1 + Math.floor(Math.random() * 9_999)}` : key });

  Gallery.currentOrder = () => (Gallery.state.sort.startsWith(RANDOM) ? RANDOM : Gallery.state.sort);
}
