"use strict";
// What was said of each image, by whom. A review's server keeps it in the ledger; a page from a file keeps it in the browser.

{
  const REFRESH_MS = 5_000;
  const PATIENCE_MS = 60_000;
  // Two servers of one ledger write at the same time: what is a little older may come a little later.
  const OVERLAP_US = 30_000_000;
  const { review, batches } = Gallery.page;
  const NOTHING = Object.freeze({ verdict: null, rating: null, note: null });
  const WORDS = { pick: "picked", reject: "rejected" };
  const KEPT = `imagen-verdicts:${batches[0].key}`;

  const reviewer = review?.reviewer ?? "me";
  // By job: by reviewer: what was said last.
  const said = new Map();
  // Own words since the last question to the server began; its answer may be older.
  let spoken = new Set();
  let latestUs = 0;
  let byId = new Map();
  const listeners = [];
  const undo = [];
  let isAway = false;
  let cameBack = () => {};

  // `listener` is called when the review's server answers again.
  Gallery.onReturn = (listener) => {
    cameBack = listener;
  };

  Gallery.onJudged = (listener) => listeners.push(listener);

  // Many changes are drawn once, with the next frame.
  let changed = new Set();
  const tellSoon = (job) => {
    if (!changed.size) {
      requestAnimationFrame(() => {
        const jobs = changed;
        changed = new Set();
        for (const listener of listeners) listener(jobs);
      });
    }
    changed.add(job);
  };

  const keep = (jobId, who, { verdict, rating, note }) => {
    if (!said.has(jobId)) said.set(jobId, new Map());
    const all = said.get(jobId);
    // The last one who spoke stands last, whoever came first.
    all.delete(who);
    all.set(who, { verdict, rating, note });
    const job = byId.get(jobId);
    if (!job) return;
    Gallery.judged(job);
    tellSoon(job);
  };

  Gallery.ownVerdict = (job) => said.get(job.job_id)?.get(reviewer) ?? NOTHING;

  // What counts: one's own word, else that of whoever spoke last.
  Gallery.countingVerdict = (job) => {
    const all = said.get(job.job_id);
    return all?.get(reviewer) ?? (all && [...all.values()].at(-1)) ?? NOTHING;
  };

  Gallery.verdictOf = (job) => WORDS[Gallery.countingVerdict(job).verdict] ?? "not judged";
  Gallery.ratingOf = (job) => String(Gallery.countingVerdict(job).rating ?? "none");

  const verdictsOn = (job) => [...(said.get(job.job_id)?.values() ?? [])].map(({ verdict }) => verdict).filter(Boolean);

  // Of those who picked or rejected it: whether all say the same.
  Gallery.agreementOn = (job) => {
    const all = verdictsOn(job);
    if (all.length < 2) return all.length ? "one reviewer" : "nobody";
    return all.every((verdict) => verdict === all[0]) ? "all agree" : "they differ";
  };

  // The others' words.
  Gallery.othersOn = (job) =>
    [...(said.get(job.job_id) ?? [])]
      .filter(([who, { verdict, rating }]) => who !== reviewer && (verdict || rating))
      .map(([who, { verdict, rating }]) => [who, [WORDS[verdict], rating && `${rating} of 5`].filter(Boolean).join(", ")]);

  Gallery.isReviewing = () => Boolean(review) || said.size > 0;

  // Own picks and rejects, and how far the reviewers agree; one pass over what was said.
  Gallery.countVerdicts = () => {
    const count = { pick: 0, reject: 0, shared: 0, agreed: 0, reviewers: new Set() };
    for (const all of said.values()) {
      const own = all.get(reviewer)?.verdict;
      if (own) count[own] += 1;
      const given = [...all].filter(([, { verdict }]) => verdict);
      for (const [who] of given) count.reviewers.add(who);
      if (given.length < 2) continue;
      count.shared += 1;
      if (given.every(([, { verdict }]) => verdict === given[0][1].verdict)) count.agreed += 1;
    }
    return count;
  };

  Gallery.idsWith = (verdict) => [...said].filter(([, all]) => all.get(reviewer)?.verdict === verdict).map(([jobId]) => jobId);

  // Where a page from a file keeps what was judged, with whatever other tabs have judged.
  const local = {
    load: () => {
      try {
        return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
      } catch {
        return {};
      }
    },
    save: (jobs) => {
      const mine = jobs.map((job) => [job.job_id, Gallery.ownVerdict(job)]);
      try {
        localStorage.setItem(KEPT, JSON.stringify({ ...local.load(), ...Object.fromEntries(mine) }));
      } catch {
        Gallery.tellVerdicts("NOT kept: this browser stores nothing for this page. Copy the ids before you leave it.");
      }
    },
    take: () => {
      for (const [jobId, one] of Object.entries(local.load())) if (byId.has(jobId)) keep(jobId, reviewer, { ...NOTHING, ...one });
    },
  };

  const outbox = review && Gallery.outbox({
    place: `imagen-unsaved:${batches[0].key}`,
    tell: (text) => Gallery.tellVerdicts(text),
    refused: (judgement, why) => Gallery.tellVerdicts(`NOT saved, ${why}`),
  });

  const say = (job, patch) => {
    const now = { ...Gallery.ownVerdict(job), ...patch };
    keep(job.job_id, reviewer, now);
    spoken.add(job.job_id);
    if (outbox) outbox.add(reviewer, { job_id: job.job_id, verdict: now.verdict, rating: now.rating, note: now.note || null });
  };

  // Say the same, or for each job what `patch` gives, of several images; one undo takes all of it back.
  Gallery.say = (jobs, patch) => {
    undo.push(jobs.map((job) => [job, Gallery.ownVerdict(job)]));
    for (const job of jobs) say(job, typeof patch === "function" ? patch(job) : patch);
    if (!review) local.save(jobs);
  };

  Gallery.undoVerdict = () => {
    const last = undo.pop();
    for (const [job, before] of last ?? []) say(job, before);
    if (last && !review) local.save(last.map(([job]) => job));
    return last?.[0]?.[0] ?? null;
  };

  const refresh = async () => {
    await outbox.flush();
    spoken = new Set();
    try {
      const answer = await fetch(`verdicts?since=${Math.max(0, latestUs - OVERLAP_US)}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(await answer.text());
      await Gallery.eachInPieces((await answer.json()).verdicts, (row) => {
        latestUs = Math.max(latestUs, row.at_us);
        if (row.reviewer === reviewer && (spoken.has(row.job_id) || outbox.has(reviewer, row.job_id))) return;
        const before = said.get(row.job_id)?.get(row.reviewer);
        const same = before && before.verdict === row.verdict && before.rating === row.rating && before.note === row.note;
        if (!same) keep(row.job_id, row.reviewer, row);
      });
      if (outbox.isEmpty()) Gallery.tellVerdicts("", { onlyAfter: "The review" });
      if (isAway) cameBack();
      isAway = false;
    } catch {
      isAway = true;
      // The outbox has said more: how many wait.
      if (outbox.isEmpty()) Gallery.tellVerdicts("The review's server does not answer; start `imagen review` again.");
    }
  };

  Gallery.loadVerdicts = async (jobs) => {
    byId = new Map(jobs.map((job) => [job.job_id, job]));
    if (!review) {
      local.take();
      window.addEventListener("storage", (event) => event.key === KEPT && local.take());
      return;
    }
    // What an earlier visit could not send comes first: it is newer than what the server has.
    for (const { reviewer: who, judgement } of outbox.load()) keep(judgement.job_id, who, judgement);
    // One question at a time: a page that is open over night must not pile them up before a server that hangs.
    const goOn = () => setTimeout(() => refresh().finally(goOn), REFRESH_MS);
    await refresh().finally(goOn);
  };
}
