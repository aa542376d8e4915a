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
    job.extra = new Map();
    for (const name of Object.keys(asked)) if (!COLUMNS.has(name)) job.extra.set(name, asked[name]);
    job.outcome = job.trouble ? (job.thumbnail ? "changed" : "missing") : job.state;
    job.ratio = ratioOf(job);
    job.model ||= job.backend_type;
    job.scores = job.scores ? JSON.parse(job.scores) : {};
    job.name = (asked.id ?? "") + (job.sample ? ` #${job.sample}` : "");
    const texts = [asked.prompt, job.name, job.seed, job.model, job.error_kind, job.error_message, job.trouble];
    for (const value of job.extra.values()) texts.push(Gallery.format.value(value));
    job.searched = Gallery.searchable(texts.join("\n"));
  };

  const AT_ONCE_MS = 30;

  // In short pieces: the page answers while fifty thousand jobs are read.
  const understandAll = async (jobs) => {
    let begun = performance.now();
    for (const job of jobs) {
      understand(job);
      if (performance.now() - begun < AT_ONCE_MS) continue;
      await Gallery.pause();
      begun = performance.now();
    }
  };

  // Two batches are loaded one after the other: equal scripts have equal names.
  Gallery.loadJobs = async (batch) => {
    const parts = await Promise.all(batch.scripts.map((name) => load(batch, name)));
    const jobs = [];
    for (const part of parts) {
      const read = jobsOf(batch, part);
      await understandAll(read);
      for (const job of read) jobs.push(job);
    }
    return jobs;
  };
}
