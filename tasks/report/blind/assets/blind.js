"use strict";
// One pair at a time. The next one is shown once the answer is in the ledger, so what a person saw accepted is kept.

{
  const { element } = Blind;
  const KEYS = { ArrowLeft: "left", ArrowRight: "right", t: "tie", ArrowDown: "tie", s: "skip" };
  const content = document.getElementById("content");
  const message = document.getElementById("message");
  const loaded = new Map();
  let state = { total: 0, answered: 0, next: [] };
  let busy = false;
  let showsResults = false;

  const getImage = (pair, side) => {
    const place = `image/${pair}/${side}`;
    if (!loaded.has(place)) {
      const image = element("img", { src: place, alt: `${side} image`, draggable: "false" });
      image.addEventListener("error", () => image.replaceWith(element("span", { class: "gone" }, "This image cannot be loaded. Skip the pair.")));
      loaded.set(place, image);
    }
    return loaded.get(place);
  };

  const ask = async (place, body) => {
    const answer = await fetch(place, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };

  // One request at a time: a key that comes meanwhile would be about a pair that nobody has seen.
  const act = async (work) => {
    if (busy) return;
    busy = true;
    try {
      await work();
      message.textContent = "";
    } catch (error) {
      const why = error instanceof TypeError ? "The server does not answer; start `imagen compare` again" : error.message;
      message.textContent = `NOT saved: ${why}`;
    } finally {
      busy = false;
    }
  };

  const drawPair = ({ pair, prompt }) => {
    const side = (name) => {
      const button = element("button", { type: "button", "aria-label": `The ${name} image is better` }, getImage(pair, name));
      button.addEventListener("click", () => answer(name));
      return button;
    };
    return element("div", { class: "comparing", "data-pair": pair },
      element("p", { class: "prompt", dir: "auto" }, prompt),
      element("div", { class: "pair" }, side("left"), side("right")));
  };

  const draw = async () => {
    const [now, next] = state.next;
    document.getElementById("progress").textContent = `${Blind.number(state.answered)} of ${Blind.number(state.total)}`;
    showsResults = showsResults || !now;
    content.replaceChildren(showsResults ? Blind.showResults(await ask("results")) : drawPair(now));
    for (const button of document.querySelectorAll("[data-answer]")) button.hidden = showsResults;
    // Loaded while this pair is looked at; those before are let go.
    const kept = [now, next].filter(Boolean).flatMap(({ pair }) => ["left", "right"].map((name) => getImage(pair, name)));
    for (const [place, image] of loaded) if (!kept.includes(image)) loaded.delete(place);
    document.body.dataset.ready = String(state.answered);
  };

  const answer = (said) => act(async () => {
    if (showsResults || !state.next.length) return;
    // A side that nobody sees cannot be better or worse.
    if (said !== "skip" && content.querySelector(".gone")) throw new Error("an image of this pair cannot be loaded; skip the pair");
    state = await ask("answers", { pair: state.next[0].pair, answer: said });
    await draw();
  });

  const undo = () => act(async () => {
    state = await ask("undo", {});
    showsResults = false;
    await draw();
  });

  const toggleResults = () => act(async () => {
    showsResults = !showsResults;
    await draw();
  });

  // `stacked` is its name where the images stand above each other.
  const button = (label, key, click, name, stacked) => {
    const text = stacked ? element("span", { "data-stacked": stacked }, element("span", { class: "side-name" }, label)) : label;
    const made = element("button", { type: "button", ...(name && { "data-answer": name }) }, text, element("kbd", {}, key));
    made.addEventListener("click", click);
    return made;
  };
  document.getElementById("buttons").append(
    button("Left", "\u2190", () => answer("left"), "left", "Upper"),
    button("Tie", "t", () => answer("tie"), "tie"),
    button("Right", "\u2192", () => answer("right"), "right", "Lower"),
    button("Skip", "s", () => answer("skip"), "skip"),
    button("Undo", "u", undo),
    button("Results", "r", toggleResults));

  addEventListener("keydown", (event) => {
    // A key that is held down would answer for pairs that nobody looked at.
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "u") undo();
    else if (event.key === "r") toggleResults();
    else if (KEYS[event.key] && !showsResults) {
      event.preventDefault();
      answer(KEYS[event.key]);
    }
  });

  act(async () => {
    state = await ask("state");
    await draw();
  });
}
