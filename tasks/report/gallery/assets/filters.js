"use strict";
// By what jobs can be told apart, and which of them are meant.

{
  const EXTRA = "x.";
  const MANY = 100;
  const FEW = 12;

  const FIXED = [
    { key: "state", title: "State", of: (job) => job.outcome },
    { key: "error", title: "Error", of: (job) => job.error_kind },
    { key: "backend", title: "Backend", of: (job) => job.asked.backend },
    { key: "model", title: "Model", of: (job) => job.model },
  ];

  const extraFacet = (name) => ({
    key: EXTRA + name,
    title: name,
    extra: true,
    of: (job) => (job.extra.has(name) ? Gallery.format.value(job.extra.get(name)) : null),
  });

  const count = (jobs, facet) => {
    const counts = new Map();
    for (const job of jobs) {
      const value = facet.of(job);
      if (value !== null && value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    return counts;
  };

  // A column with a value of its own for nearly every job is a note, which search finds; it is no filter.
  const tellsApart = (values, jobs) => values > 1 && values <= MANY && (values <= FEW || values * 2 <= jobs);

  // Every facet with its values in the order of the manifest.
  Gallery.facetsOf = (jobs) => {
    const names = new Set(jobs.flatMap((job) => [...job.extra.keys()]));
    const facets = [];
    for (const facet of [...FIXED, ...[...names].map(extraFacet)]) {
      const values = [...count(jobs, facet).keys()];
      const telling = facet.key === "error" ? values.length > 0 : tellsApart(values.length, jobs.length);
      if (telling) facets.push({ ...facet, values });
    }
    return facets;
  };

  const words = () => Gallery.state.text.toLowerCase().split(/\s+/).filter(Boolean);

  const passes = (job, facets, except) =>
    facets.every((facet) => {
      const chosen = Gallery.state.filters.get(facet.key);
      return !chosen || facet === except || chosen.has(facet.of(job));
    });

  // The jobs that the search and every filter let through.
  Gallery.chosen = (jobs, facets) => {
    const wanted = words();
    return jobs.filter((job) => wanted.every((word) => job.searched.includes(word)) && passes(job, facets, null));
  };

  // How many there would be with each value, were this facet alone not chosen from.
  Gallery.countsFor = (jobs, facets, facet) => {
    const wanted = words();
    const others = jobs.filter((job) => wanted.every((word) => job.searched.includes(word)) && passes(job, facets, facet));
    return count(others, facet);
  };
}
