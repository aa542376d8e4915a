"use strict";
// The page: loads the batches, puts the parts together, and shows the view that the state asks for.

{
  const { element, format, state } = Gallery;
  const { batches } = Gallery.page;
  const top = document.getElementById("top");
  const content = document.getElementById("content");
  const sidebar = document.getElementById("sidebar");
  const comparing = batches.length > 1;
  const SIDE_BY_SIDE = 4;

  const VIEWS = comparing
    ? { compare: "Compare" }
    : { images: "Images", matrix: "Matrix", failures: "Failures", summary: "Summary" };
  const viewName = () => (state.view in VIEWS ? state.view : Object.keys(VIEWS)[0]);

  const search = element("input", {
    type: "search",
    placeholder: "Search prompts",
    "aria-label": "Search prompts, ids, seeds, models and errors",
    "aria-keyshortcuts": "/",
    input: () => Gallery.whenSearchable(() => Gallery.change({ text: search.value })),
    keydown: (event) => event.key === "Escape" && search.value === "" && search.blur(),
  });
  const counted = element("p", { class: "counted", role: "status" });
  const tabs = Object.entries(VIEWS).map(([name, label]) =>
    element("button", { class: "tab", type: "button", "data-view": name, click: () => Gallery.change({ view: name }) }, label));

  const about = (batch) => {
    const { summary } = batch;
    const running = summary.outcome === "running" ? "running, " : "";
    return `${format.number(summary.images)} images · ${format.cost(summary.cost_usd)} · ${running}as of ${format.instant(batch.written_at_us)}`;
  };
  const title = comparing
    ? element("h1", { dir: "auto" }, batches[0].name, element("span", { class: "versus" }, " and "), batches[1].name)
    : element("h1", { dir: "auto" }, batches[0].name);
  const line = comparing ? "the first on the left, the second on the right" : about(batches[0]);

  const skip = element("a", { class: "skip", href: "#content", click: (event) => { event.preventDefault(); intoContent(); } }, "Skip to the images");
  document.body.prepend(skip);

  top.append(
    element("div", { class: "title" }, title, element("p", { class: "about-line" }, line)),
    element("nav", { "aria-label": "Views", hidden: comparing }, tabs),
    element("div", { class: "tools" }, counted, search, Gallery.themeSwitch()),
  );

  let jobs = [];
  let pairs = [];
  let facets = [];
  let view = { items: [], close: () => {} };
  let width = 0;

  const itemOf = (jobId) =>
    jobId && view.items.find((each) => [each.job_id, each.first?.job_id, each.second?.job_id].includes(jobId));

  const build = (chosen) => {
    switch (viewName()) {
      case "matrix":
        return Gallery.matrixView(content, chosen, facets);
      case "failures":
        return Gallery.failuresView(content, chosen);
      case "summary":
        return Gallery.summaryView(content, batches[0]);
      case "compare":
        return Gallery.compareView(content, Gallery.pairsOf(pairs, chosen));
      default:
        return Gallery.gridView(content, chosen, facets, jobs);
    }
  };

  const show = ({ keepPlace = false } = {}) => {
    const place = keepPlace ? content.scrollTop : 0;
    const focused = keepPlace && document.activeElement.dataset.job;
    view.close();
    // What is marked may not be in sight any more.
    if (!keepPlace) Gallery.unmark();
    content.replaceChildren();
    content.scrollTop = 0;
    for (const tab of tabs) {
      if (tab.dataset.view === viewName()) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (search.value !== state.text) search.value = state.text;
    const { chosen } = Gallery.survey(jobs, facets);
    document.body.dataset.view = viewName();
    width = content.clientWidth;
    counted.textContent = chosen.length === jobs.length ? "" : `${format.number(chosen.length)} of ${format.number(jobs.length)}`;
    if (jobs.length) view = build(chosen);
    else content.append(element("p", { class: "empty" }, "This batch has no jobs yet."));
    content.scrollTop = place;
    if (focused && itemOf(focused)) view.focus?.(itemOf(focused));
  };

  // Opens what a link or Forward leads to; the detail itself sees when Back leads out of it.
  const openFromAddress = () => {
    const item = state.job && itemOf(state.job);
    if (item) view.open?.(item);
  };

  const focusedItem = () => itemOf(document.activeElement?.closest?.("#content button.card")?.dataset.job);

  // The job of the card that has the focus, and the way to the next one.
  const focusedTarget = () => {
    const job = focusedItem();
    const next = () => {
      const following = view.items[view.items.indexOf(job) + 1];
      if (following) view.focus?.(following);
    };
    return job?.thumbnail ? { jobs: [job], next } : null;
  };

  const markedTarget = () => {
    const marked = Gallery.markedJobs();
    return marked.length ? { jobs: marked, next: () => {} } : null;
  };

  // What a verdict is for: what is open, else what is marked, else what has the focus.
  const target = () => Gallery.surveyTarget() ?? Gallery.detailTarget() ?? markedTarget() ?? focusedTarget();

  // What is marked, or the samples of the row; without any, the images that follow.
  const openSurvey = () => {
    const job = focusedItem();
    const marked = Gallery.markedJobs();
    const samples = job?.stacked ?? (job ? Gallery.samplesOf(job) : []);
    const following = job ? view.items.slice(view.items.indexOf(job)) : [];
    const shown = [marked, samples, following.slice(0, SIDE_BY_SIDE)].find((jobs) => jobs.length > 1);
    if (shown) Gallery.openSurvey(shown, { closed: () => job && view.focus?.(job) });
  };

  const intoContent = () => {
    const card = content.querySelector("button.card[tabindex='0']");
    (card ?? content).focus();
  };

  // Before the arrows move the focus: a range begins where it was.
  document.addEventListener("keydown", (event) => {
    const begins = event.shiftKey && event.key.startsWith("Arrow") && !Gallery.markedJobs().length;
    if (begins && focusedItem()) Gallery.anchorMarks(focusedItem());
  }, true);

  // Keys of the grid; the arrows have moved the focus already.
  const onGridKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key.startsWith("Arrow")) {
      if (event.shiftKey && focusedItem()) Gallery.markTo(focusedItem(), view.items);
      else Gallery.anchorMarks(focusedItem());
    } else if (event.key === "+" || event.key === "=") Gallery.changeSize(1);
    else if (event.key === "-") Gallery.changeSize(-1);
    else if (event.key === "s") openSurvey();
    else if (event.key === "Escape") Gallery.unmark();
    else return;
    if (!event.key.startsWith("Arrow")) event.preventDefault();
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input[type='search'], select, textarea, dialog");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "ArrowDown" && (event.target === search || event.target === document.body || event.target === content)) {
      event.preventDefault();
      content.querySelector("button.card[tabindex='0']")?.focus();
    } else if (!typing && viewName() === "images") onGridKey(event);
  });

  new ResizeObserver(() => {
    if (jobs.length && content.clientWidth !== width) show({ keepPlace: true });
  }).observe(content);

  const start = async () => {
    content.append(element("p", { class: "empty" }, "Loading …"));
    const loaded = await Promise.all(batches.map(Gallery.loadJobs));
    const all = loaded.flat();
    if (comparing) pairs = Gallery.match(...loaded);
    if (!comparing) await Gallery.startReview(all, target);
    await Gallery.groupSamples(all);
    facets = await Gallery.facetsOf(all);
    Gallery.searchIn(all);
    // A search that stands in the address needs its texts now; else they can wait for the images.
    if (state.text) await Gallery.prepareSearch();
    const failed = all.filter(Gallery.isFailure).length;
    const tab = tabs.find(({ dataset }) => dataset.view === "failures");
    if (tab && failed) tab.append(element("span", { class: "count" }, format.number(failed)));
    await Gallery.showFilters(sidebar, all, facets);
    await Gallery.pause();
    // Only now: what is drawn before all is known would be counted wrongly.
    jobs = all;
    Gallery.onChange((changed) => changed.some((key) => key !== "job") && show());
    Gallery.onChange((changed) => changed.includes("job") && openFromAddress());
    // Images that could not be loaded while the server was away are asked for again.
    Gallery.onReturn(() => show({ keepPlace: true }));
    show();
    openFromAddress();
    await Gallery.pause();
    Gallery.prepareSearch();
    document.body.dataset.ready = "";
  };

  start().catch((error) => {
    const command = Gallery.command("gallery", ...batches.map(Gallery.folderOf));
    content.replaceChildren(element("p", { class: "empty" }, `${error.message}. Write the page anew: ${command}`));
  });
}
