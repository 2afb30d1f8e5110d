"use strict";
// Asks every few seconds how far things are, and puts a changed page in the place of the one that is shown.
(() => {
  const EVERY = 2000, HIDDEN = 15000, PATIENCE = 10000, ANNOUNCED = 30000;
  const { kind, source } = document.body.dataset;
  const bar = document.querySelector(".live"), told = bar.querySelector("[role=status]");
  let shown = document.body.dataset.version, heard = Date.now(), timer = 0, announced = { at: 0, stage: "" };

  const ask = async (address) => {
    const options = { cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(PATIENCE) };
    const answer = await fetch(address, options);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  };

  const say = (texts) => {
    for (const [part, text] of Object.entries(texts)) {
      const place = bar.querySelector(`[data-said="${part}"]`);
      if (place && place.textContent !== text) place.textContent = text;
    }
  };

  // Screen readers are told of every change of state at once, and of progress now and then.
  const announce = (stage, text) => {
    const now = Date.now();
    if (stage === announced.stage && (now - announced.at < ANNOUNCED || told.textContent === text)) return;
    announced = { at: now, stage };
    told.textContent = text;
  };

  const region = (root) => root.querySelector("[data-live]") ?? root.querySelector("main");

  // Name elements by their section, their kind and words, and their place among those of the same.
  const keyed = (root, selector) => {
    const seen = new Map(), found = new Map();
    for (const one of root.querySelectorAll(selector)) {
      const words = one.querySelector(":scope > summary")?.textContent.replace(/[\d.,]+/g, "#") ?? "";
      const stem = `${one.closest("section[id]")?.id ?? ""} ${one.tagName} ${words}`, place = seen.get(stem) ?? 0;
      seen.set(stem, place + 1);
      found.set(`${stem} ${place}`, one);
    }
    return found;
  };

  // Name a control by its section and the words of its label: the number of a cell changes with its rank.
  const named = (root) => {
    const found = new Map();
    for (const one of root.querySelectorAll("input[id]")) {
      const words = [...one.labels ?? []].flatMap((label) => [...label.childNodes]).filter((node) => node.nodeName !== "B");
      const text = words.map((node) => node.textContent).join("").trim();
      const group = one.closest(".choosing")?.querySelector("h3")?.textContent ?? "";
      found.set(text ? `${one.closest("section[id]")?.id ?? ""} ${group} ${text}` : one.id, one);
    }
    return found;
  };

  const FOCUS = "a[href], input, button, select, summary, [tabindex]", MARKS = "section[id], h2, h3, figure, details, tr";

  // Note what a reader has opened, chosen, scrolled to and focused; give what does the same to another page.
  const remember = (old) => {
    const open = [...keyed(old, "details")].map(([key, one]) => [key, one.open]);
    const chosen = [...named(old)].filter(([, one]) => one.checked).map(([key]) => key);
    const aside = [...keyed(old, ".scroll")].map(([key, one]) => [key, one.scrollLeft]);
    const focus = [...keyed(old, FOCUS)].find(([, one]) => one === document.activeElement)?.[0];
    const top = bar.getBoundingClientRect().bottom;
    const below = [...keyed(old, MARKS)].filter(([, one]) => one.getClientRects().length && one.getBoundingClientRect().top >= top);
    const isLasting = (one) => one.tagName !== "TR" && one.getBoundingClientRect().top < innerHeight;
    const mark = below.find(([, one]) => isLasting(one)) ?? below[0];
    const place = mark?.[1].getBoundingClientRect().top, from = scrollY;
    return (fresh) => {
      const details = keyed(fresh, "details"), controls = named(fresh), scrolled = keyed(fresh, ".scroll");
      for (const [key, is] of open) if (details.has(key)) details.get(key).open = is;
      for (const key of chosen) if (controls.has(key)) controls.get(key).checked = true;
      for (const [key, left] of aside) if (scrolled.has(key)) scrolled.get(key).scrollLeft = left;
      if (focus) keyed(fresh, FOCUS).get(focus)?.focus({ preventScroll: true });
      const now = mark && keyed(fresh, MARKS).get(mark[0])?.getBoundingClientRect().top;
      scrollTo({ top: from > 0 && now !== undefined ? scrollY + now - place : from, behavior: "instant" });
    };
  };

  const isReading = (old) => {
    const selection = getSelection();
    return !selection.isCollapsed && old.contains(selection.anchorNode);
  };

  const replace = (page) => {
    const old = region(document), fresh = document.adoptNode(region(page)), restore = remember(old);
    document.querySelectorAll(".tip").forEach((tip) => tip.remove());
    old.replaceWith(fresh);
    document.querySelector("footer").replaceChildren(...document.adoptNode(page.querySelector("footer")).childNodes);
    restore(fresh);
    if (source === "report") {
      const script = document.createElement("script");
      script.textContent = page.querySelector("script").textContent; // the report's own, which alone the policy lets run
      document.body.append(script);
      script.remove();
    }
    document.dispatchEvent(new Event("replaced"));
  };

  const look = async () => {
    const said = await (await ask("state")).json();
    if (said.kind !== kind) return location.reload();
    heard = Date.now();
    bar.dataset.stage = said.stage;
    bar.querySelector("progress").value = said.share;
    document.title = said.title;
    say(said.said);
    announce(said.stage, said.announce);
    if (said.version && said.version !== shown && !isReading(region(document))) {
      const answer = await ask(source);
      const text = await answer.text(); // of its head, with its own style and policy, nothing is wanted
      replace(new DOMParser().parseFromString(text.slice(text.indexOf("<body")), "text/html"));
      shown = answer.headers.get("ETag").replaceAll('"', "");
    }
  };

  const lose = () => {
    bar.dataset.stage = "lost";
    const ago = Math.round((Date.now() - heard) / 1000);
    say({ stage: "connection lost", left: "", behind: "", written: `shown is what was known ${ago} s ago` });
    announce("lost", "Connection lost");
  };

  const go = async () => {
    clearTimeout(timer);
    await look().catch(lose);
    clearTimeout(timer);
    timer = setTimeout(go, document.hidden ? HIDDEN : EVERY);
  };

  document.addEventListener("visibilitychange", () => document.hidden || go());
  go();
})();
