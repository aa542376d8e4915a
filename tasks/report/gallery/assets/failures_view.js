"use strict";
// What did not become an image, by kind, each with its reason and with what to do about it.

{
  const { element, format } = Gallery;
  const HEADING_PX = 74;
  const LINE_PX = 92;

  const ENDED_BADLY = new Set(["failed", "held", "missing", "changed"]);

  Gallery.isFailure = (job) => ENDED_BADLY.has(job.outcome);

  const WAYS_OUT = {
    failed: (out) => `to try them again: ${Gallery.command("resume", out, "--retry-failed")}`,
    held: (out) => `they may have been paid for; to pay again: ${Gallery.command("resume", out, "--retry-held")}`,
    missing: (out) => `their files are gone or damaged; to make and pay for those that are gone: ${Gallery.command("resume", out, "--missing")}`,
    changed: () => "their files were changed after they were made; they are shown as they are now",
  };

  const grouped = (jobs) => {
    const groups = new Map();
    for (const job of jobs.filter(Gallery.isFailure)) {
      const [kind] = Gallery.reasonOf(job);
      const key = `${job.outcome} ${kind}`;
      if (groups.has(key)) groups.get(key).jobs.push(job);
      else groups.set(key, { kind, outcome: job.outcome, jobs: [job] });
    }
    return [...groups.values()].sort((one, other) => other.jobs.length - one.jobs.length);
  };

  const heading = ({ kind, outcome, jobs }) =>
    element("div", { class: "failure-kind", role: "row" }, element("div", { role: "gridcell" },
      element("h2", {}, kind, " ", element("span", { class: "count" }, format.number(jobs.length))),
      element("p", { dir: "auto" }, WAYS_OUT[outcome](Gallery.folderOf(jobs[0].batch)))));

  const line = (job, open) => {
    const [, reason] = Gallery.reasonOf(job);
    const money = job.cost_usd === 0 ? "cost nothing" : format.cost(job.cost_usd);
    const meta = [job.name, `line ${job.line}`, job.model, `${job.attempts} attempt(s)`, job.attempts ? money : null].filter(Boolean).join(" · ");
    return element("div", { class: "failure", role: "row" }, element("div", { role: "gridcell" },
      element("button", { class: "card", type: "button", tabindex: -1, "data-job": job.job_id, click: () => open(job) },
        element("span", { class: "reason", dir: "auto" }, reason || job.state),
        element("span", { class: "prompt", dir: "auto" }, job.prompt),
        element("span", { class: "meta" }, meta))));
  };

  Gallery.failuresView = (content, jobs) => {
    const groups = grouped(jobs);
    const items = groups.flatMap((group) => group.jobs);
    if (!items.length) {
      content.append(element("p", { class: "empty" }, "Nothing failed here."));
      return { items, close: () => {} };
    }
    const entries = groups.flatMap((group) => [{ group }, ...group.jobs.map((job) => ({ job }))]);
    const rowOf = new Map(entries.map((entry, index) => [entry.job, index]));
    const focus = (job) => rows.show(rowOf.get(job))?.querySelector("button.card")?.focus({ preventScroll: true });
    const open = (job) => Gallery.openDetail(job, items, focus);
    const scale = Gallery.textScale();
    const rows = Gallery.virtualRows({
      scroller: content,
      heights: entries.map(({ group }) => (group ? HEADING_PX : LINE_PX) * scale),
      render: (index) => (entries[index].group ? heading(entries[index].group) : line(entries[index].job, open)),
      attributes: { class: "failures", role: "grid", "aria-label": "Failures", "aria-rowcount": entries.length },
    });
    content.append(rows.list);
    rows.update();
    return { items, open, focus, close: rows.close };
  };
}
