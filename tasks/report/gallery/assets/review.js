"use strict";
// Judging: pick, reject, 1 to 5, a note. A review's server keeps the verdicts in the ledger; a page from a file keeps them in the
// browser, and gives the command that puts them into the ledger.

{
  const { element, format } = Gallery;
  const REFRESH_MS = 5_000;
  const MOST_RATING = 5;
  const { review } = Gallery.page;
  const NOTHING = Object.freeze({ verdict: null, rating: null, note: null });
  const WORDS = { pick: "picked", reject: "rejected" };
  const HELP = [
    ["p", "pick"], ["x", "reject"], ["1 to 5", "rate"], ["0", "take the rating back"], ["u", "undo"], ["n", "note"],
    ["arrows", "next and previous"], ["/", "search"], ["?", "these keys"],
  ];

  // By job: by reviewer: what was said last.
  const said = new Map();
  const undo = [];
  let reviewer = review?.reviewer ?? "me";
  let byId = new Map();
  let target = () => null;
  let unsaved = [];

  const keep = (jobId, who, { verdict, rating, note }) => {
    if (!said.has(jobId)) said.set(jobId, new Map());
    said.get(jobId).set(who, { verdict, rating, note });
  };

  Gallery.ownVerdict = (job) => said.get(job.job_id)?.get(reviewer) ?? NOTHING;

  // What counts: one's own word, else that of whoever spoke last.
  const counting = (job) => {
    const all = said.get(job.job_id);
    return all?.get(reviewer) ?? (all && [...all.values()].at(-1)) ?? NOTHING;
  };

  Gallery.verdictOf = (job) => WORDS[counting(job).verdict] ?? "not judged";
  Gallery.ratingOf = (job) => (counting(job).rating === null ? "none" : String(counting(job).rating));

  // The others' words, where they differ from one's own.
  Gallery.othersOn = (job) =>
    [...(said.get(job.job_id) ?? [])]
      .filter(([who, { verdict, rating }]) => who !== reviewer && (verdict || rating))
      .map(([who, { verdict, rating }]) => [who, [WORDS[verdict], rating && `${rating} of ${MOST_RATING}`].filter(Boolean).join(", ")]);

  Gallery.isReviewing = () => Boolean(review) || said.size > 0;

  // Where a page from a file keeps what was judged.
  const KEPT = `imagen-verdicts:${Gallery.page.batches[0].summary.out}`;
  const local = {
    load: () => {
      try {
        return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
      } catch {
        return {};
      }
    },
    save: () => {
      const mine = [...said].map(([jobId, all]) => [jobId, all.get(reviewer)]).filter(([, one]) => one);
      try {
        localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(mine)));
      } catch {
        // It holds for this visit then.
      }
    },
  };

  const told = element("span", { class: "saved", role: "status" });

  // One message at a time, in order; what could not be sent is sent with the next one.
  let sending = Promise.resolve();
  const send = () => {
    sending = sending.then(async () => {
      const judgements = unsaved;
      if (!judgements.length) return;
      unsaved = [];
      try {
        const headers = { "Content-Type": "application/json" };
        const answer = await fetch("verdicts", { method: "POST", headers, body: JSON.stringify({ reviewer, judgements }) });
        if (!answer.ok) throw new Error(await answer.text());
        told.textContent = "saved";
      } catch (error) {
        unsaved = [...judgements, ...unsaved];
        told.textContent = `NOT saved: ${error.message}`;
      }
    });
    return sending;
  };

  const draw = (job) => {
    for (const card of document.querySelectorAll(`.card[data-job="${job.job_id}"]`)) Gallery.badge(card, job);
    Gallery.judged(job);
    bar();
    Gallery.verdictsChanged?.(job);
  };

  const say = (job, patch, { remember = true } = {}) => {
    const before = Gallery.ownVerdict(job);
    const now = { ...before, ...patch };
    if (remember) undo.push([job, before]);
    keep(job.job_id, reviewer, now);
    if (review) {
      unsaved.push({ job_id: job.job_id, verdict: now.verdict, rating: now.rating, note: now.note || null });
      send();
    } else local.save();
    draw(job);
  };

  Gallery.say = say;

  const takeBack = () => {
    const last = undo.pop();
    if (last) say(last[0], { ...NOTHING, ...last[1] }, { remember: false });
    return last?.[0];
  };

  // The mark on a card.
  Gallery.badge = (card, job) => {
    card.querySelector(".badge")?.remove();
    const { verdict, rating } = counting(job);
    card.classList.toggle("is-picked", verdict === "pick");
    card.classList.toggle("is-rejected", verdict === "reject");
    if (!verdict && rating === null) return;
    const mark = [{ pick: "✓", reject: "✕" }[verdict], rating !== null && `★${rating}`].filter(Boolean).join(" ");
    const label = [WORDS[verdict], rating !== null && `rated ${rating}`].filter(Boolean).join(", ");
    card.append(element("span", { class: "badge", role: "img", "aria-label": label }, mark));
  };

  // The buttons of the detail; `after` is called when a verdict was given that leads to the next image.
  Gallery.judgeButtons = (job, after) => {
    const host = element("div", { class: "judging", role: "group", "aria-label": "Verdict" });
    const fill = () => {
      const { verdict, rating, note } = Gallery.ownVerdict(job);
      const choice = (name, label, key) =>
        element("button", { class: `chip ${name}`, type: "button", "aria-pressed": String(verdict === name), "aria-keyshortcuts": key,
          click: () => { say(job, { verdict: verdict === name ? null : name }); after(verdict !== name); } }, label);
      const star = (number) =>
        element("button", { class: "chip star", type: "button", "aria-pressed": String(rating === number), "aria-label": `${number} of ${MOST_RATING}`,
          click: () => say(job, { rating: rating === number ? null : number }) }, String(number));
      const field = element("input", { class: "note-field", type: "text", maxlength: 2000, placeholder: "Note", "aria-label": "Note", value: note ?? "",
        change: () => say(job, { note: field.value || null }) });
      const others = Gallery.othersOn(job).map(([who, words]) => element("span", { class: "hint" }, `${who}: ${words}`));
      host.replaceChildren(choice("pick", "✓ Pick", "p"), choice("reject", "✕ Reject", "x"), ...[1, 2, 3, 4, 5].map(star), field, ...others);
    };
    fill();
    Gallery.verdictsChanged = (changed) => changed === job && fill();
    return host;
  };

  // What stands at the foot of the page once something was judged.
  const foot = element("footer", { id: "verdicts", hidden: true });
  document.body.append(foot);

  const copyIds = async (verdict) => {
    const ids = [...said].filter(([, all]) => all.get(reviewer)?.verdict === verdict).map(([jobId]) => jobId);
    const command = Gallery.command("pick", Gallery.page.batches[0].summary.out, "--verdict", verdict, "--ids", "-");
    const copied = await Gallery.copyText(`${ids.join("\n")}\n`, document.body);
    told.textContent = copied ? `${format.number(ids.length)} ids copied. Paste them into: ${command}` : "Copying is not allowed here.";
  };

  const bar = () => {
    const own = [...said.values()].map((all) => all.get(reviewer)).filter(Boolean);
    const count = (verdict) => own.filter((one) => one.verdict === verdict).length;
    const [picked, rejected] = [count("pick"), count("reject")];
    foot.hidden = !review && picked + rejected === 0;
    const copy = (verdict, number, label) => !review && number > 0 && element("button", { class: "side", type: "button", click: () => copyIds(verdict) }, label);
    foot.replaceChildren(...[
      element("span", {}, `${format.number(picked)} picked, ${format.number(rejected)} rejected`),
      copy("pick", picked, "Copy ids of the picks"),
      copy("reject", rejected, "Copy ids of the rejects"),
      element("button", { class: "quiet", type: "button", "aria-label": "Keys", click: showHelp }, "?"),
      told,
    ].filter(Boolean));
  };

  const help = element("dialog", { class: "help", "aria-label": "Keys", click: (event) => event.target === help && help.close() },
    element("h2", {}, "Keys"),
    element("dl", { class: "facts" }, HELP.flatMap(([key, what]) => [element("dt", {}, key), element("dd", {}, what)])),
    element("button", { class: "side", type: "button", click: () => help.close() }, "Close"));
  const showHelp = () => {
    if (!help.isConnected) document.body.append(help);
    if (!help.open) help.showModal();
  };

  const press = {
    p: (job, next) => { const was = Gallery.ownVerdict(job).verdict === "pick"; say(job, { verdict: was ? null : "pick" }); if (!was) next(); },
    x: (job, next) => { const was = Gallery.ownVerdict(job).verdict === "reject"; say(job, { verdict: was ? null : "reject" }); if (!was) next(); },
    0: (job) => say(job, { rating: null }),
    n: () => document.querySelector("dialog[open] .note-field")?.focus(),
  };
  for (let number = 1; number <= MOST_RATING; number += 1) press[number] = (job) => say(job, { rating: number });

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type='checkbox']), select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
    const key = event.key.toLowerCase();
    if (key === "?") showHelp();
    else if (key === "u") takeBack();
    else if (key in press) {
      const found = target();
      if (!found) return;
      press[key](found.job, found.next);
    } else return;
    event.preventDefault();
  });

  const take = (rows) => {
    for (const row of rows) {
      const before = JSON.stringify(said.get(row.job_id)?.get(row.reviewer) ?? null);
      keep(row.job_id, row.reviewer, row);
      const job = byId.get(row.job_id);
      if (job && before !== JSON.stringify(said.get(row.job_id).get(row.reviewer))) draw(job);
    }
  };

  const refresh = async () => {
    if (unsaved.length) await send();
    try {
      const answer = await fetch("verdicts");
      // What is on its way to the server is newer than what it tells.
      const waiting = new Set(unsaved.map(({ job_id: jobId }) => jobId));
      take((await answer.json()).verdicts.filter((row) => row.reviewer !== reviewer || !waiting.has(row.job_id)));
    } catch {
      told.textContent = "The review's server does not answer; verdicts wait here.";
    }
  };

  // Called once the jobs are there; `current` gives the job that keys are meant for, and how to go on to the next one.
  Gallery.startReview = async (jobs, current) => {
    byId = new Map(jobs.map((job) => [job.job_id, job]));
    target = current;
    if (review) {
      await refresh();
      setInterval(refresh, REFRESH_MS);
    } else for (const [jobId, one] of Object.entries(local.load())) if (byId.has(jobId)) keep(jobId, reviewer, { ...NOTHING, ...one });
    bar();
  };
}
