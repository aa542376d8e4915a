"use strict";
// By what jobs can be told apart, and which of them are meant: one pass over the jobs for each choice.

{
  const EXTRA = "x.";
  const MANY = 100;
  const FEW = 12;

  const FIXED = [
    { key: "state", title: "State", of: (job) => job.outcome },
    { key: "error", title: "Error", of: (job) => job.error_kind },
    { key: "backend", title: "Backend", of: (job) => Gallery.readColumn(job, "asked", "backend") },
    { key: "model", title: "Model", of: (job) => job.model },
    { key: "kept", title: "Gates", of: (job) => ({ true: "kept", false: "left out" })[job.kept] },
    { key: "reused", title: "Reused from", of: (job) => job.reused_from },
    { key: "provenance", title: "Provenance", of: (job) => job.provenance },
  ];

  // What people say of the images changes while the page is open, so their values are fixed.
  const JUDGED = [
    { key: "verdict", title: "Verdict", of: (job) => Gallery.verdictOf(job), values: ["picked", "rejected", "not judged"] },
    { key: "rating", title: "Rating", of: (job) => Gallery.ratingOf(job), values: ["5", "4", "3", "2", "1", "none"] },
    { key: "agreement", title: "Reviewers", of: (job) => Gallery.agreementOn(job), values: ["they differ", "all agree", "one reviewer", "nobody"] },
  ].map((facet) => ({ ...facet, places: new Map(facet.values.map((value, place) => [value, place])) }));

  // The facet with its values in the order of the manifest, and the place of each job's value among them (-1: none).
  // Null where there are too many values for a filter.
  const indexed = async (jobs, facet) => {
    const places = new Map();
    const at = new Int32Array(jobs.length).fill(-1);
    await Gallery.eachInPieces(jobs, (job, index) => {
      const value = facet.of(job);
      if (value === null || value === undefined) return true;
      if (!places.has(value)) places.set(value, places.size);
      at[index] = places.get(value);
      return places.size <= MANY;
    });
    return places.size > MANY ? null : { ...facet, values: [...places.keys()], places, at };
  };

  const extraFacet = (jobs, name) => {
    const found = Gallery.indexColumn(jobs, "extra", name, MANY);
    return found && { key: EXTRA + name, title: name, extra: true, values: [...found.places.keys()], ...found };
  };

  // Those that most jobs have no value of: one value tells apart already.
  const RARE = new Set(["error", "kept", "reused", "provenance"]);

  // A column with a value of its own for nearly every job is a note, which search finds; it is no filter.
  const tellsApart = ({ key, values, at }, jobs) =>
    RARE.has(key) ? values.length > 1 || at.some((place) => place < 0) && values.length > 0 : values.length > 1 && (values.length <= FEW || values.length * 2 <= jobs);

  Gallery.facetsOf = async (jobs) => {
    // A page from a file knows one reviewer only.
    const facets = Gallery.isReviewing() ? JUDGED.filter(({ key }) => key !== "agreement" || Gallery.page.review) : [];
    for (const facet of facets) facet.at = new Int32Array(jobs.length);
    await Gallery.eachInPieces(jobs, (job, index) => {
      // From here on `judged` keeps it up to date.
      job.index = index;
      for (const facet of facets) facet.at[index] = facet.places.get(facet.of(job));
    });
    const kinds = [
      ...FIXED.map((facet) => () => indexed(jobs, facet)),
      ...Gallery.columnNames(jobs, "extra").map((name) => () => extraFacet(jobs, name)),
      ...Gallery.columnNames(jobs, "scores").map((name) => () => Gallery.scoreFacet(jobs, name)),
    ];
    for (const make of kinds) {
      const found = await make();
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
    const words = [...new Set(Gallery.searchable(Gallery.state.text).split(/\s+/).filter(Boolean))];
    const found = Gallery.findWords(jobs, words);
    const wanted = facets.map(wantedPlaces);
    const limiting = facets.map((_, index) => index).filter((index) => wanted[index]);
    const counts = facets.map(({ values }) => new Uint32Array(values.length + 1));
    const chosen = [];
    // Facet by facet through one list of numbers, which is quicker than job by job through all facets.
    const indices = new Uint32Array(jobs.length);
    for (let i = 0; i < jobs.length; i += 1) {
      if (found && found[i] < words.length) continue;
      let against = 0;
      let last = -1;
      for (const index of limiting) {
        const place = facets[index].at[i];
        if (wanted[index][place < 0 ? facets[index].values.length : place]) continue;
        against += 1;
        last = index;
      }
      if (against === 0) {
        indices[chosen.length] = i;
        chosen.push(jobs[i]);
      } else if (against === 1) {
        // It would be there were this one facet not chosen from.
        counts[last][facets[last].at[i] + 1] += 1;
      }
    }
    facets.forEach(({ at }, facet) => {
      const count = counts[facet];
      for (let i = 0; i < chosen.length; i += 1) count[at[indices[i]] + 1] += 1;
    });
    // The first counts those without a value.
    return { chosen, counts: counts.map((count) => count.subarray(1)) };
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
