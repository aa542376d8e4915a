"use strict";
// Verdicts on their way to the ledger. Each one stays in the browser until the server says that it is on disk: a
// reload, a closed tab or a killed server loses none.

{
  const MOST_AT_ONCE = 500;
  const PATIENCE_MS = 20_000;

  // `place` names the batch in the browser's storage, `tell` shows where things stand, `refused` takes what no server wants.
  Gallery.outbox = ({ place, tell, refused }) => {
    let waiting = new Map();
    let sending = null;
    let isKept = true;

    const keep = () => {
      isKept = true;
      try {
        if (waiting.size) localStorage.setItem(place, JSON.stringify([...waiting.values()]));
        else localStorage.removeItem(place);
      } catch {
        // Storage is turned off or full; what waits is in this tab only, which asks before it closes.
        isKept = false;
      }
    };

    // The server's word, or why there is none.
    const post = async (reviewer, judgements) => {
      const answer = await fetch("verdicts", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ reviewer, judgements }),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (answer.ok) return;
      const error = new Error(await answer.text());
      error.isAnswer = true;
      error.isRefused = answer.status === 409 || answer.status === 422;
      throw error;
    };

    const explain = (error) =>
      error.isAnswer ? error.message : "the review's server does not answer; start `imagen review` again";

    // One that the server refuses, as of an image that the batch has no more, must not hold up the others.
    const deliver = async (some) => {
      try {
        await post(some[0].reviewer, some.map(({ judgement }) => judgement));
      } catch (error) {
        if (!error.isRefused) throw error;
        if (some.length === 1) refused(some[0].judgement, error.message);
        else {
          const middle = some.length >> 1;
          await deliver(some.slice(0, middle));
          await deliver(some.slice(middle));
          return;
        }
      }
      // A newer word on the same image may have come meanwhile, and waits for its own turn.
      for (const one of some) if (waiting.get(one.judgement.job_id) === one) waiting.delete(one.judgement.job_id);
      keep();
    };

    const run = async () => {
      while (waiting.size) {
        const all = [...waiting.values()];
        const mine = all.filter(({ reviewer }) => reviewer === all[0].reviewer);
        try {
          await deliver(mine.slice(0, MOST_AT_ONCE));
        } catch (error) {
          tell(`NOT saved: ${explain(error)}. ${waiting.size} wait in this browser and are sent again.`);
          return;
        }
        // What came meanwhile is not saved yet.
        if (!waiting.size) tell("saved");
      }
    };

    // One message at a time: the order in which things were said is the order in the ledger.
    const flush = () => {
      sending ??= run().finally(() => {
        sending = null;
      });
      return sending;
    };

    const load = () => {
      try {
        for (const one of JSON.parse(localStorage.getItem(place) ?? "[]")) waiting.set(one.judgement.job_id, one);
      } catch {
        waiting = new Map();
      }
      return [...waiting.values()];
    };

    window.addEventListener("beforeunload", (event) => {
      if (waiting.size && !isKept) event.preventDefault();
    });

    return {
      add: (reviewer, judgement) => {
        waiting.delete(judgement.job_id);
        waiting.set(judgement.job_id, { reviewer, judgement });
        keep();
        tell("saving");
        flush();
      },
      flush,
      load,
      has: (jobId) => waiting.has(jobId),
      isEmpty: () => waiting.size === 0,
    };
  };
}
