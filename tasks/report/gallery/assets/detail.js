"use strict";
// One job, or one pair of jobs, in full: the image as large as it goes, and everything that is known of it.

{
  const { element, format } = Gallery;

  const facts = (job) => {
    const { asked } = job;
    const given = asked.seed === undefined ? "derived from the row" : "the row's own";
    return [
      ["status", job.state],
      ["problem", job.trouble],
      ["error", job.error_kind],
      ["reason", job.error_message],
      ["id", asked.id],
      ["prompt", asked.prompt],
      ["negative prompt", asked.negative_prompt],
      ...[...job.extra].map(([name, value]) => [name, format.value(value)]),
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
      ["options", asked.backend_opts && JSON.stringify(asked.backend_opts)],
      ["cost", job.attempts ? Gallery.costOf(job) : null],
      ["cost source", job.cost_source],
      ["attempts", job.attempts],
      ["latency", format.seconds(job.latency_ms)],
      ["compute time", job.predict_time_s === null ? null : `${job.predict_time_s} s`],
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
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  };

  const LONG = new Set(["prompt", "negative prompt", "reason", "options"]);

  const term = (name, ...values) => [
    element("dt", {}, name),
    ...values.map((value) => element("dd", { class: LONG.has(name) ? "long" : null }, String(value ?? "–"))),
  ];

  const listOf = (job) => element("dl", { class: "facts" }, facts(job).flatMap(([name, value]) => term(name, value)));

  const largeImage = (job) => {
    if (!job.thumbnail) return element("div", { class: "stage" }, Gallery.thumbnail(job));
    const href = format.url(job.batch, job.file_name);
    const image = element("img", {
      src: href,
      alt: job.asked.prompt,
      error: () => image.replaceWith(element("span", { class: "note bad" }, element("b", {}, "missing"), job.file_name)),
    });
    return element(
      "div",
      { class: "stage" },
      element("a", { href, target: "_blank", rel: "noopener", "aria-label": "Open the image's file" }, image),
    );
  };

  const copyButton = (job) => {
    const row = job.image_row ?? job.row;
    const told = element("p", { class: "told", role: "status" });
    const copy = async () => {
      const copied = await Gallery.copyText(row, dialog);
      told.textContent = copied ? `Copied. ${Gallery.rowAdvice(job)}` : "Copying is not allowed here; the row stands below.";
      if (!copied) shown.open = true;
    };
    const shown = element("details", {}, element("summary", {}, "the row"), element("pre", { class: "row" }, row));
    const button = element("button", { class: "main copy", type: "button", click: copy }, "Copy as manifest row");
    return element("div", { class: "copying" }, button, told, shown);
  };

  const single = (job) => [
    largeImage(job),
    element("section", { class: "about", "aria-label": "Parameters" }, copyButton(job), listOf(job)),
  ];

  const side = (job, batch) =>
    element(
      "figure",
      {},
      element("figcaption", {}, batch.name),
      job ? largeImage(job) : element("div", { class: "stage" }, element("span", { class: "note waiting" }, element("b", {}, "not in this batch"))),
    );

  // Of any two images these differ: that tells nothing.
  const OWN = new Set(["planned", "ended", "file", "file size", "sha256", "job_id", "prediction id", "manifest line"]);

  // Rows of both; what differs is marked.
  const comparison = ({ first, second }) => {
    const [one, other] = [first, second].map((job) => new Map(job ? facts(job) : []));
    const names = [...new Set([...one.keys(), ...other.keys()])];
    const rows = names.map((name) => {
      const [here, there] = [one.get(name), other.get(name)].map((value) => String(value ?? "–"));
      return element("tr", { class: here === there || OWN.has(name) ? null : "differs" }, element("th", { scope: "row" }, name), element("td", {}, here), element("td", {}, there));
    });
    const heads = Gallery.page.batches.map((batch) => element("th", { scope: "col" }, batch.name));
    return element("table", { class: "facts" }, element("thead", {}, element("tr", {}, element("td"), heads)), element("tbody", {}, rows));
  };

  const double = (pair) => {
    const [here, there] = Gallery.page.batches;
    const copies = [pair.first, pair.second].map((job) => element("div", {}, job && copyButton(job)));
    return [
      element("div", { class: "sides" }, side(pair.first, here), side(pair.second, there)),
      comparison(pair),
      element("div", { class: "sides copies" }, copies),
    ];
  };

  let items = [];
  let at = 0;
  let onClose = () => {};

  const step = (by) => {
    const next = at + by;
    if (next >= 0 && next < items.length) show(next);
  };

  const previous = element("button", { class: "quiet", type: "button", "aria-label": "Previous", click: () => step(-1) }, "←");
  const next = element("button", { class: "quiet", type: "button", "aria-label": "Next", click: () => step(1) }, "→");
  const close = element("button", { class: "quiet", type: "button", "aria-label": "Close", click: () => dialog.close() }, "✕");
  const title = element("h2", { id: "detail-title" });
  const place = element("span", { class: "place" });
  const body = element("div", { class: "detail-body" });
  const dialog = element(
    "dialog",
    {
      class: "detail",
      "aria-labelledby": "detail-title",
      keydown: (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (by && !event.altKey && !event.ctrlKey && !event.metaKey) step(by);
      },
      click: (event) => event.target === dialog && dialog.close(),
      close: () => {
        Gallery.change({ job: "" });
        onClose(items[at]);
      },
    },
    element("header", {}, title, place, element("span", { class: "steps" }, previous, next, close)),
    body,
  );
  document.body.append(dialog);

  const jobOf = (item) => item.first ?? item.second ?? item;

  const show = (index) => {
    at = index;
    const item = items[at];
    const job = jobOf(item);
    title.textContent = job.name || job.asked.prompt;
    place.textContent = `${format.number(at + 1)} of ${format.number(items.length)}`;
    previous.disabled = at === 0;
    next.disabled = at === items.length - 1;
    const pair = "first" in item;
    dialog.classList.toggle("pair", pair);
    body.replaceChildren(...(pair ? double(item) : single(item)));
    body.scrollTop = 0;
    Gallery.change({ job: job.job_id });
  };

  // Show one of the items (jobs, or pairs of them); the arrows go through all. `closed` is called with the last one seen.
  Gallery.openDetail = (item, among, closed = () => {}) => {
    items = among;
    onClose = closed;
    show(items.indexOf(item));
    if (!dialog.open) dialog.showModal();
  };
}
