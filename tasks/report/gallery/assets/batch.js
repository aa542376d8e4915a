"use strict";
// Loading a batch: scripts of some thousand jobs each. What only an opened image shows stands in scripts of its own.

{
  const waiting = new Map();

  // Called by the scripts in `gallery/rows/` and `gallery/details/`.
  Gallery.receive = (name, data) => waiting.get(name).shift()(data);

  // Two batches may have equal scripts, which then have equal names: whoever asked first takes the first one.
  const load = (batch, folder, name) =>
    new Promise((resolve, reject) => {
      waiting.set(name, [...(waiting.get(name) ?? []), resolve]);
      const error = () => reject(new Error(`gallery/${folder}/${name} of ${batch.name} is missing`));
      document.head.append(Gallery.element("script", { src: `${batch.place}gallery/${folder}/${name}`, error }));
    });

  Gallery.loadJobs = async (batch) => {
    const parts = await Promise.all(batch.scripts.map((name) => load(batch, "rows", name)));
    const jobs = [];
    for (const part of parts) {
      for (const job of Gallery.jobsOf(batch, part)) jobs.push(job);
      await Gallery.pause();
    }
    return jobs;
  };

  // The rest of what is known of a job, and of those that came with it.
  const loadDetails = ({ batch, part }) => {
    part.loading ??= load(batch, "details", part.details).then(
      (data) => Gallery.addDetails(part, data),
      (error) => {
        // The next one who asks tries again.
        part.loading = null;
        throw error;
      },
    );
    return part.loading;
  };

  // Call `fill` with what is known of the jobs, and once more when the rest has come; `host` is busy until then.
  Gallery.withDetails = (jobs, host, fill) => {
    const missing = jobs.filter((job) => job && !job.hasDetails);
    fill();
    if (!missing.length) return;
    host.setAttribute("aria-busy", "true");
    const done = (trouble) => {
      fill(trouble);
      host.removeAttribute("aria-busy");
    };
    Promise.all(missing.map(loadDetails)).then(() => done(), () => done("its details cannot be loaded; load this page again"));
  };
}
