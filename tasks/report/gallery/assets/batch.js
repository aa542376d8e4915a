"use strict";
// Loading a batch: scripts of some thousand jobs, by columns, become jobs.

{
  const waiting = new Map();

  // Called by the scripts in `gallery/rows/`.
  Gallery.receive = (name, data) => waiting.get(name)(data);

  const load = (batch, name) =>
    new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const error = () => reject(new Error(`gallery/rows/${name} of ${batch.name} is missing`));
      document.head.append(Gallery.element("script", { src: `${batch.place}gallery/rows/${name}`, error }));
    });

  const jobsOf = (batch, { count, columns }) => {
    const jobs = Array.from({ length: count }, () => ({ batch }));
    for (const [name, { values, at }] of Object.entries(columns)) {
      for (let i = 0; i < count; i += 1) jobs[i][name] = at ? values[at[i]] : values[i];
    }
    return jobs;
  };

  const COLUMNS = new Set([
    "id", "prompt", "negative_prompt", "backend", "width", "height", "aspect_ratio", "steps", "seed", "samples",
    "format", "guidance", "backend_opts", "image", "mask",
  ]);

  const ratioOf = (job) => {
    if (job.width && job.height) return job.width / job.height;
    if (job.asked.width && job.asked.height) return job.asked.width / job.asked.height;
    const [across, down] = (job.asked.aspect_ratio ?? "1:1").split(":");
    return across / down;
  };

  // The last line of `row` is the job's own; see manifest_rows.py.
  const understand = (job) => {
    const asked = JSON.parse(job.row.slice(job.row.lastIndexOf("\n") + 1));
    job.asked = asked;
    job.extra = new Map(Object.entries(asked).filter(([name, value]) => !COLUMNS.has(name)));
    job.outcome = job.trouble ? "missing" : job.state;
    job.ratio = ratioOf(job);
    job.model ||= job.backend_type;
    job.name = (asked.id ?? "") + (job.sample ? ` #${job.sample}` : "");
    job.searched = [asked.prompt, job.name, job.seed, job.model, job.error_kind, job.error_message, job.trouble]
      .concat([...job.extra.values()].map(Gallery.format.value)).join("\n").toLowerCase();
  };

  // Two batches are loaded one after the other: equal scripts have equal names.
  Gallery.loadJobs = async (batch) => {
    const parts = await Promise.all(batch.scripts.map((name) => load(batch, name)));
    const jobs = parts.flatMap((part) => jobsOf(batch, part));
    jobs.forEach(understand);
    return jobs;
  };
}
