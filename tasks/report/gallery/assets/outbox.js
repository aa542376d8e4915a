"use strict";
// Verdicts on their way to the ledger. Each one stays in the browser until the server says that it is on disk: a
// reload, a closed tab or a killed server loses none.

{
  const MOST_AT_ONCE = 500;
  const PATIENCE_MS = 20_000;

  // `place` names the batch in the browser's storage, `tell` shows where things stand, `refused` takes what no server wants.
  Gallery.outbox = ({ place, tell, refused }) => {
    const waiting = new Map();
    // Those that are in the browser's storage; where it is turned off or full, what waits is in this tab only.
    const kept = new Set();
    let sending = null;
    let refusals = 0;

    // Each verdict has a place of its own in the storage, because several tabs share it: none writes over another's.
    const keyOf = ({ reviewer, judgement }) => `${place}:${reviewer}:${judgement.job_id}`;

    const remove = (key) => {
      try {
        localStorage.removeItem(key);
      } catch {
        // There is nothing in a storage that is turned off.
      }
    };

    const keep = (one) => {
      try {
        localStorage.setItem(keyOf(one), JSON.stringify(one));
        kept.add(one);
      } catch {
        // The tab asks before it closes. What was said before of this image must not come back with the next visit.
        remove(keyOf(one));
      }
    };

    // Another tab that shares the storage may have sent it meanwhile, or heard a newer word.
    const isStale = (one) => kept.has(one) && localStorage.getItem(keyOf(one)) !== JSON.stringify(one);

    const forget = (one) => {
      if (kept.has(one) && !isStale(one)) remove(keyOf(one));
      kept.delete(one);
      // A newer word on the same image may have come meanwhile, and waits for its own turn.
      if (waiting.get(keyOf(one)) === one) waiting.delete(keyOf(one));
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
        if (some.length === 1) {
          refusals += 1;
          refused(some[0].judgement, error.message);
        } else {
          const middle = some.length >> 1;
          await deliver(some.slice(0, middle));
          await deliver(some.slice(middle));
          return;
        }
      }
      some.forEach(forget);
    };

    const run = async () => {
      const before = refusals;
      while (waiting.size) {
        for (const one of waiting.values()) if (isStale(one)) forget(one);
        const all = [...waiting.values()];
        const mine = all.filter(({ reviewer }) => reviewer === all[0].reviewer);
        try {
          if (mine.length) await deliver(mine.slice(0, MOST_AT_ONCE));
        } catch (error) {
          const where = all.every((one) => kept.has(one)) ? "in this browser" : "in this tab, which must stay open,";
          tell(`NOT saved: ${explain(error)}. ${Gallery.format.number(waiting.size)} wait ${where} and are sent again.`);
          return;
        }
        // What came meanwhile is not saved yet, and what was refused never is.
        if (!waiting.size && refusals === before) tell("saved");
      }
    };

    // One message at a time: the order in which things were said is the order in the ledger.
    const flush = () => {
      sending ??= run().finally(() => {
        sending = null;
      });
      return sending;
    };

    const read = (key) => {
      try {
        const one = JSON.parse(localStorage.getItem(key));
        return keyOf(one) === key ? one : null;
      } catch {
        return null;
      }
    };

    const load = () => {
      let keys = [];
      try {
        keys = Object.keys(localStorage).filter((key) => key.startsWith(`${place}:`));
      } catch {
        // A storage that is turned off has nothing.
      }
      for (const one of keys.map(read).filter(Boolean)) {
        waiting.set(keyOf(one), one);
        kept.add(one);
      }
      return [...waiting.values()];
    };

    window.addEventListener("beforeunload", (event) => {
      if ([...waiting.values()].some((one) => !kept.has(one))) event.preventDefault();
    });

    return {
      add: (reviewer, judgement) => {
        const one = { reviewer, judgement };
        // Last of all, since the order in which things were said is kept.
        waiting.delete(keyOf(one));
        waiting.set(keyOf(one), one);
        keep(one);
        tell("saving");
        flush();
      },
      flush,
      load,
      has: (reviewer, jobId) => waiting.has(keyOf({ reviewer, judgement: { job_id: jobId } })),
      isEmpty: () => waiting.size === 0,
    };
  };
}
