"use strict";
// By what jobs can be told apart, and which of them are meant: one pass over the jobs for each choice.

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

  // What people say of the images changes while the page is open, so their values are fixed.
  const JUDGED = [
    { key: "verdict", title: "Verdict", of: (job) => Gallery.verdictOf(job), values: ["picked", "rejected", "not judged"] },
    { key: "rating", title: "Rating", of: (job) => Gallery.ratingOf(job), values: ["5", "4", "3", "2", "1", "none"] },
    { key: "agreement", title: "Reviewers", of: (job) => Gallery.agreementOn(job), values: ["they differ", "all agree", "one reviewer", "nobody"] },
  ].map((facet) => ({ ...facet, places: new Map(facet.values.map((value, place) => [value, place])) }));

  const extraFacet = (name) => ({
    key: EXTRA + name,
    title: name,
    extra: true,
    of: (job) => (job.extra.has(name) ? Gallery.format.value(job.extra.get(name)) : null),
  });

  // The facet with its values in the order of the manifest, and the place of each job's value among them (-1: none).
  // Null where there are too many values for a filter.
  const indexed = (jobs, facet) => {
    const places = new Map();
    const at = new Int32Array(jobs.length).fill(-1);
    for (let i = 0; i < jobs.length; i += 1) {
      const value = facet.of(jobs[i]);
      if (value === null || value === undefined) continue;
      let place = places.get(value);
      if (place === undefined) {
        if (places.size === MANY) return null;
        place = places.size;
        places.set(value, place);
      }
      at[i] = place;
    }
    return { ...facet, values: [...places.keys()], places, at };
  };

  // A column with a value of its own for nearly every job is a note, which search finds; it is no filter.
  const tellsApart = ({ key, values }, jobs) =>
    key === "error" ? values.length > 0 : values.length > 1 && (values.length <= FEW || values.length * 2 <= jobs);

  Gallery.facetsOf = async (jobs) => {
    const names = new Set();
    for (const job of jobs) for (const name of job.extra.keys()) names.add(name);
    // A page from a file knows one reviewer only.
    const facets = Gallery.isReviewing() ? JUDGED.filter(({ key }) => key !== "agreement" || Gallery.page.review) : [];
    for (const facet of facets) facet.at = Int32Array.from(jobs, (job) => facet.places.get(facet.of(job)));
    jobs.forEach((job, index) => {
      job.index = index;
    });
    for (const facet of [...FIXED, ...[...names].map(extraFacet)]) {
      const found = indexed(jobs, facet);
      if (found && tellsApart(found, jobs.length)) facets.push(found);
      await Gallery.pause();
    }
    return facets;
  };

  // Which places of a facet are let through, the last one for jobs without a value; null where nothing is chosen.
  const wantedPlaces = ({ key, places, values }) => {
    const [chosen, left] = [Gallery.state.filters.get(key), Gallery.state.nots.get(key)];
    if (!chosen && !left) return null;
    const wanted = new Uint8Array(values.length + 1).fill(chosen ? 0 : 1);
    for (const value of chosen ?? []) if (places.has(value)) wanted[places.get(value)] = 1;
    for (const value of left ?? []) if (places.has(value)) wanted[places.get(value)] = 0;
    return wanted;
  };

  const survey = (jobs, facets) => {
    const words = Gallery.searchable(Gallery.state.text).split(/\s+/).filter(Boolean);
    const wanted = facets.map(wantedPlaces);
    const limiting = facets.map((_, index) => index).filter((index) => wanted[index]);
    const counts = facets.map(({ values }) => new Uint32Array(values.length));
    const chosen = [];
    const add = (facet, i) => {
      const place = facets[facet].at[i];
      if (place >= 0) counts[facet][place] += 1;
    };
    for (let i = 0; i < jobs.length; i += 1) {
      if (!words.every((word) => jobs[i].searched.includes(word))) continue;
      let against = 0;
      let last = -1;
      for (const index of limiting) {
        const place = facets[index].at[i];
        if (wanted[index][place < 0 ? facets[index].values.length : place]) continue;
        against += 1;
        last = index;
      }
      if (against === 0) {
        chosen.push(jobs[i]);
        for (let facet = 0; facet < facets.length; facet += 1) add(facet, i);
      } else if (against === 1) {
        // It would be there were this one facet not chosen from.
        add(last, i);
      }
    }
    return { chosen, counts };
  };

  let last = {};

  // A job was judged: the next choice sees it. The view stays, so that nothing disappears under the reader's eyes.
  Gallery.judged = (job) => {
    if (job.index === undefined) return;
    for (const facet of JUDGED) if (facet.at) facet.at[job.index] = facet.places.get(facet.of(job));
    last = {};
  };

  // The jobs that the search and every filter let through, and for each facet how many there would be with each value,
  // were that facet alone not chosen from.
  Gallery.survey = (jobs, facets) => {
    const { text, filters, nots } = Gallery.state;
    if (last.jobs !== jobs || last.facets !== facets || last.text !== text || last.filters !== filters || last.nots !== nots) {
      last = { jobs, facets, text, filters, nots, found: survey(jobs, facets) };
    }
    return last.found;
  };
}
