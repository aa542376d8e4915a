"use strict";
// One job, or one pair of jobs, in full: the image as large as it goes, and everything that is known of it.

{
  const { element, format } = Gallery;
  const ID_CHARACTERS = 12;

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
    ...values.map((value) => element("dd", { class: LONG.has(name) ? "long" : null, dir: "auto" }, String(value ?? "–"))),
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

  const FILE_LINKS = [
    ["Open original", (job) => ({ class: "main open", target: "_blank", rel: "noopener", href: format.url(job.batch, job.file_name) })],
    ["Download", (job) => ({ class: "side download", download: "", href: format.url(job.batch, job.file_name) })],
  ];

  // What can be done with a job: its file, the command that makes another image of its row, and the row itself.
  const actions = (job) => {
    const texts = {
      "Copy reroll command": [Gallery.command("reroll", job.batch.summary.out, "--id", job.job_id.slice(0, ID_CHARACTERS)), "the command", "reroll"],
      "Copy as manifest row": [job.image_row ?? job.row, "the row", "copy"],
    };
    const told = element("p", { class: "told", role: "status" });
    const shown = element("details", { hidden: true }, element("summary"), element("pre", { class: "row", dir: "auto" }));
    const copy = async (label) => {
      const [text, name] = texts[label];
      shown.hidden = false;
      shown.firstChild.textContent = name;
      shown.lastChild.textContent = text;
      const copied = await Gallery.copyText(text, dialog);
      const advice = name === "the row" ? Gallery.rowAdvice(job) : "";
      told.textContent = copied ? `Copied. ${advice}`.trim() : `Copying is not allowed here; ${name} stands below.`;
      shown.open = !copied;
    };
    const links = job.thumbnail ? FILE_LINKS.map(([label, attributes]) => element("a", attributes(job), label)) : [];
    const buttons = Object.entries(texts).map(([label, [, , name]]) =>
      element("button", { class: `side ${name}`, type: "button", click: () => copy(label) }, label));
    return element("div", { class: "copying" }, element("div", { class: "actions" }, links, buttons), told, shown);
  };

  const single = (job) => [
    largeImage(job),
    element("section", { class: "about", "aria-label": "Parameters" },
      job.thumbnail && Gallery.judgeButtons(job, (leads) => leads && step(1)), actions(job), listOf(job)),
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
    const copies = [pair.first, pair.second].map((job) => element("div", {}, job && actions(job)));
    return [
      element("div", { class: "sides" }, side(pair.first, here), side(pair.second, there)),
      comparison(pair),
      element("div", { class: "sides copies" }, copies),
    ];
  };

  let items = [];
  let at = 0;
  let onClose = () => {};
  let leftByAddress = false;

  const step = (by) => {
    const next = at + by;
    if (next >= 0 && next < items.length) show(next);
  };

  const previous = element("button", { class: "quiet", type: "button", "aria-label": "Previous", click: () => step(-1) }, "←");
  const next = element("button", { class: "quiet", type: "button", "aria-label": "Next", click: () => step(1) }, "→");
  const close = element("button", { class: "quiet", type: "button", "aria-label": "Close", click: () => dialog.close() }, "✕");
  const title = element("h2", { id: "detail-title", dir: "auto" });
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
        // Back does the same as the cross: what was pushed when this opened is taken back.
        if (leftByAddress) leftByAddress = false;
        else if (history.state?.pushed) history.back();
        else Gallery.change({ job: "" });
        onClose(items[at]);
      },
    },
    element("header", {}, title, place, element("span", { class: "steps" }, previous, next, close)),
    body,
  );
  document.body.append(dialog);

  const jobOf = (item) => item.first ?? item.second ?? item;

  const show = (index, { push = false } = {}) => {
    at = index;
    const item = items[at];
    const job = jobOf(item);
    title.textContent = job.name || job.asked.prompt;
    place.textContent = `${format.number(at + 1)} of ${format.number(items.length)}`;
    // Not `disabled`, which would take the focus away, and the arrow keys with it.
    previous.setAttribute("aria-disabled", at === 0);
    next.setAttribute("aria-disabled", at === items.length - 1);
    const pair = "first" in item;
    dialog.classList.toggle("pair", pair);
    body.replaceChildren(...(pair ? double(item) : single(item)));
    body.scrollTop = 0;
    Gallery.change({ job: job.job_id }, { push: push && Gallery.state.job !== job.job_id });
  };

  // Show one of the items (jobs, or pairs of them); the arrows go through all. `closed` is called with the last one seen.
  Gallery.openDetail = (item, among, closed = () => {}) => {
    items = among;
    onClose = closed;
    const isNew = !dialog.open;
    if (!isNew && items[at] && jobOf(items[at]) === jobOf(item)) return;
    if (isNew) dialog.showModal();
    show(items.indexOf(item), { push: isNew });
  };

  // The job that is open alone, and the way to the next one.
  Gallery.openJob = () => (dialog.open && !("first" in items[at]) ? { job: items[at], next: () => step(1) } : null);

  Gallery.onChange((changed) => {
    if (!changed.includes("job") || Gallery.state.job || !dialog.open) return;
    leftByAddress = true;
    dialog.close();
  });
}
