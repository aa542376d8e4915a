"use strict";
// Judging by keys and buttons: pick, reject, 1 to 5, a note, and the foot of the page that counts them.

{
  const { element, format } = Gallery;
  const MOST_RATING = 5;
  const WORDS = { pick: "picked", reject: "rejected" };
  const HELP = [
    ["p", "pick"], ["x", "reject"], ["1 to 5", "rate"], ["0", "take the rating back"], ["b", "best of its row: pick it, reject its other samples"],
    ["n", "note, in the opened image"], ["u", "undo"],
    ["arrows", "next and previous"], ["shift and arrows, shift and click", "mark a range; verdicts are for all of it"],
    ["s", "side by side: what is marked, or the samples of a row"], ["z", "zoom to 100 %; again: whole image"],
    ["+ and -", "larger and smaller images"], ["/", "search"], ["Escape", "back; unmark"], ["?", "these keys"],
  ];

  let target = () => null;

  // The mark on a card.
  Gallery.badge = (card, job) => {
    card.querySelector(".badge")?.remove();
    const { verdict, rating } = Gallery.countingVerdict(job);
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
    const choice = (name, label, key, current) =>
      element("button", { class: `chip ${name}`, type: "button", "aria-pressed": String(current === name), "aria-keyshortcuts": key,
        click: () => { Gallery.say([job], { verdict: current === name ? null : name }); if (current !== name) after(); } }, label);
    const star = (number, current) =>
      element("button", { class: "chip star", type: "button", "aria-pressed": String(current === number), "aria-label": `${number} of ${MOST_RATING}`,
        click: () => Gallery.say([job], { rating: current === number ? null : number }) }, String(number));
    const field = element("input", { class: "note-field", type: "text", maxlength: 2000, placeholder: "Note", "aria-label": "Note", dir: "auto",
      change: () => Gallery.say([job], { note: field.value || null }) });
    const fill = () => {
      const { verdict, rating, note } = Gallery.ownVerdict(job);
      // Whoever writes keeps what they are writing.
      if (document.activeElement !== field) field.value = note ?? "";
      const pressed = host.contains(document.activeElement) && document.activeElement !== field && document.activeElement.textContent;
      const others = Gallery.othersOn(job).map(([who, words]) => element("span", { class: "hint" }, `${who}: ${words}`));
      const best = Gallery.samplesOf(job).length > 1 && element("button", { class: "chip best", type: "button", "aria-keyshortcuts": "b",
        click: () => { Gallery.pickBest(job); after(); } }, "Best of its row");
      const stars = element("span", { class: "stars", role: "group", "aria-label": "Rating" }, Array.from({ length: MOST_RATING }, (_, place) => star(place + 1, rating)));
      const made = [choice("pick", "✓ Pick", "p", verdict), choice("reject", "✕ Reject", "x", verdict), best, stars, field, ...others].filter(Boolean);
      // The field stays in its place, because taking it out would take the focus from it.
      for (const child of [...host.children]) if (child !== field) child.remove();
      if (!field.isConnected) host.append(field);
      const at = made.indexOf(field);
      field.before(...made.slice(0, at));
      field.after(...made.slice(at + 1));
      if (pressed) [...host.querySelectorAll("button")].find((button) => button.textContent === pressed)?.focus();
    };
    fill();
    host.update = (jobs) => jobs.has(job) && fill();
    return host;
  };

  // Pick one of a row's samples and reject the others.
  Gallery.pickBest = (job) => Gallery.say(Gallery.samplesOf(job), (each) => ({ verdict: each === job ? "pick" : "reject" }));

  // What stands at the foot of the page once something was judged.
  const told = element("span", { class: "saved", role: "status" });
  const foot = element("footer", { id: "verdicts", hidden: true });
  document.body.append(foot);

  Gallery.tellVerdicts = (text, { onlyAfter = "" } = {}) => {
    if (told.textContent.startsWith(onlyAfter)) told.textContent = text;
  };

  const copyIds = async (verdict) => {
    const ids = Gallery.idsWith(verdict);
    const command = Gallery.command("pick", Gallery.folderOf(Gallery.page.batches[0]), "--verdict", verdict, "--ids", "-");
    const copied = await Gallery.copyText(`${ids.join("\n")}\n`, document.body);
    told.textContent = copied ? `${format.number(ids.length)} ids copied. Paste them into: ${command}` : "Copying is not allowed here.";
  };

  const agreement = ({ reviewers, shared, agreed }) => {
    if (reviewers.size < 2) return null;
    const who = reviewers.size === 2 ? [...reviewers].sort().join(" and ") : `${reviewers.size} reviewers`;
    const share = shared ? ` (${Math.round((100 * agreed) / shared)} %)` : "";
    return element("span", { class: "agreement", dir: "auto" }, `${who} agree on ${format.number(agreed)} of ${format.number(shared)}${share}`);
  };

  const fillFoot = () => {
    const counts = Gallery.countVerdicts();
    const { review } = Gallery.page;
    foot.hidden = !review && counts.pick + counts.reject === 0;
    const copy = (verdict, label, title) => !review && counts[verdict] > 0 && element("button", { class: "side", type: "button", title, click: () => copyIds(verdict) }, label);
    foot.replaceChildren(...[
      element("span", { class: "tally" }, `${format.number(counts.pick)} picked, ${format.number(counts.reject)} rejected`),
      agreement(counts),
      copy("pick", "Copy picks", "Copy ids of the picks"),
      copy("reject", "Copy rejects", "Copy ids of the rejects"),
      element("button", { class: "quiet", type: "button", "aria-label": "Keys", "aria-keyshortcuts": "?", click: showHelp }, "?"),
      told,
    ].filter(Boolean));
  };

  Gallery.onJudged((jobs) => {
    const byId = new Map([...jobs].map((job) => [job.job_id, job]));
    for (const card of document.querySelectorAll(".card[data-job]")) {
      if (byId.has(card.dataset.job)) Gallery.badge(card, byId.get(card.dataset.job));
    }
    for (const host of document.querySelectorAll(".judging")) host.update(jobs);
    fillFoot();
  });

  const help = element("dialog", { class: "help", "aria-label": "Keys", click: (event) => event.target === help && help.close() },
    element("h2", {}, "Keys"),
    element("dl", { class: "facts" }, HELP.flatMap(([key, what]) => [element("dt", {}, key), element("dd", {}, what)])),
    element("button", { class: "side", type: "button", click: () => help.close() }, "Close"));
  const showHelp = () => {
    if (!help.isConnected) document.body.append(help);
    if (!help.open) help.showModal();
  };

  // The same verdict again takes it back; a new one leads on.
  const judge = (verdict) => ({ jobs, next }) => {
    const was = jobs.every((job) => Gallery.ownVerdict(job).verdict === verdict);
    Gallery.say(jobs, { verdict: was ? null : verdict });
    if (!was) next();
  };
  const press = {
    p: judge("pick"),
    x: judge("reject"),
    b: ({ jobs, next }) => { Gallery.pickBest(jobs[0]); next(); },
    0: ({ jobs }) => Gallery.say(jobs, { rating: null }),
    n: () => document.querySelector("dialog[open] .note-field")?.focus(),
  };
  for (let number = 1; number <= MOST_RATING; number += 1) press[number] = ({ jobs }) => Gallery.say(jobs, { rating: number });

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type='checkbox']), select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (help.open && event.key !== "?") return;
    const key = event.key.toLowerCase();
    if (key === "?") showHelp();
    else if (key === "u") Gallery.undoVerdict();
    else if (key in press) {
      const found = target();
      if (!found?.jobs.length) return;
      press[key](found);
    } else return;
    event.preventDefault();
  });

  // Called once the jobs are there; `current` gives the jobs that keys are meant for, and how to go on to the next one.
  Gallery.startReview = async (jobs, current) => {
    target = current;
    await Gallery.loadVerdicts(jobs);
    fillFoot();
  };
}
