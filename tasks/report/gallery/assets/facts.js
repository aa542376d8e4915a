"use strict";
// Everything that is known of a job, as a list; of two jobs, as a table that marks what differs.

{
  const { element, format } = Gallery;

  const PROVENANCE = { iptc: "marked as generated (IPTC)", c2pa: "signed Content Credentials (C2PA)" };

  const facts = (job) => {
    const { asked } = job;
    const given = asked.seed === undefined ? "derived from the row" : "the row's own";
    return [
      ["status", job.state],
      ["problem", job.trouble],
      ["error", job.error_kind],
      ["reason", job.error_message],
      ["gates", job.kept === null ? null : job.kept ? "kept" : `left out: ${job.kept_why ?? "no reason given"}`],
      ["id", asked.id],
      ["prompt", asked.prompt],
      ["negative prompt", asked.negative_prompt],
      ...job.extra,
      ["seed", `${job.seed} (${given})`],
      ["size", format.size(job.width, job.height)],
      ["size asked for", format.size(asked.width, asked.height) ?? asked.width ?? asked.height],
      ["aspect ratio", asked.aspect_ratio],
      ["image", asked.image],
      ["mask", asked.mask],
      ["steps", asked.steps],
      ["sample", job.sample || null],
      ["backend", asked.backend],
      ["asked first", job.rerouted_from],
      ["backend type", job.backend_type],
      ["model", job.model],
      ["model version", job.model_version],
      ["options", asked.backend_opts],
      ["reused from", job.reused_from],
      ["provenance", job.provenance && (PROVENANCE[job.provenance] ?? job.provenance)],
      ["cost", job.attempts ? Gallery.costOf(job) : null],
      ["cost source", job.cost_source],
      ["attempts", job.attempts],
      ["latency", format.seconds(job.latency_ms)],
      ["compute time", (job.predict_time_s ?? null) === null ? null : `${job.predict_time_s} s`],
      ["planned", format.instant(job.created_at_us)],
      ["ended", format.instant(job.completed_at_us)],
      ["format", job.format ?? asked.format],
      ["file", job.file_name],
      ["file size", format.bytes(job.bytes)],
      ["sha256", job.sha256],
      ["job_id", job.job_id],
      ["prediction id", job.prediction_id],
      ["salt", job.salt],
      ["manifest line", job.line],
      ...[...job.scores].map(([name, value]) => [`score ${name}`, value]),
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  };

  const LONG = new Set(["prompt", "negative prompt", "reason", "options"]);

  const term = (name, ...values) => [
    element("dt", {}, name),
    ...values.map((value) => element("dd", { class: LONG.has(name) ? "long" : null, dir: "auto" }, String(value ?? "–"))),
  ];

  Gallery.factList = (job) => {
    const list = element("dl", { class: "facts" });
    Gallery.withDetails([job], list, (trouble) => list.replaceChildren(...[...facts(job), ...(trouble ? [["more", trouble]] : [])].flatMap(([name, value]) => term(name, value))));
    return list;
  };

  // Of any two images these differ: that tells nothing.
  const OWN = new Set(["planned", "ended", "file", "file size", "sha256", "job_id", "prediction id", "manifest line"]);

  const rowsOf = (one, other) =>
    [...new Set([...one.keys(), ...other.keys()])].map((name) => {
      const [here, there] = [one.get(name), other.get(name)].map((value) => String(value ?? "–"));
      return element("tr", { class: here === there || OWN.has(name) ? null : "differs" }, element("th", { scope: "row" }, name), element("td", { dir: "auto" }, here), element("td", { dir: "auto" }, there));
    });

  // Rows of both; what differs is marked.
  Gallery.factTable = ({ first, second }) => {
    const heads = Gallery.page.batches.map((batch) => element("th", { scope: "col" }, batch.name));
    const body = element("tbody");
    const table = element("table", { class: "facts" }, element("thead", {}, element("tr", {}, element("td"), heads)), body);
    Gallery.withDetails([first, second], table, () => body.replaceChildren(...rowsOf(...[first, second].map((job) => new Map(job ? facts(job) : [])))));
    return table;
  };
}
