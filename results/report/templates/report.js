
"use strict";
// Names the curve nearest to the pointer and its value there. Where curves lie is read from their paths.
(() => {
  const MARKS = ".line, .pale, .seed, .other", REACH = 14;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  let near = null;

  const digits = (value) => {
    const short = Number(value.toPrecision(3)), size = Math.abs(short);
    return size >= 1000 && size < 1e9 ? short.toLocaleString("en-US") : String(short);
  };

  // Give a place on an axis as its value, in words: "log 40.1 380.2 1 10000" is its scale, two places, their values.
  const reader = (text) => {
    const [scale, ...numbers] = text.split(" ");
    const [low, high, first, last] = numbers.map(Number);
    return (place) => {
      const share = (place - low) / (high - low);
      if (scale === "log") return digits(first * (last / first) ** share);
      const value = first + (last - first) * share;
      return scale === "share" ? `${Math.round(100 * value)} %` : digits(value);
    };
  };

  const points = (mark) => {
    if (!mark.points) {
      const path = mark.querySelector("path")?.getAttribute("d") ?? "";
      mark.points = [...path.matchAll(/([ML]) (-?[\d.]+) (-?[\d.]+)/g)].map(([, kind, x, y]) => [kind, Number(x), Number(y)]);
    }
    return mark.points;
  };

  // Give the point of a curve that is nearest to a place, and its distance.
  const nearest = (mark, x, y) => {
    let best = { distance: Infinity };
    points(mark).forEach(([kind, x1, y1], place, all) => {
      const [, x0, y0] = kind === "L" ? all[place - 1] : all[place];
      const [dx, dy] = [x1 - x0, y1 - y0], length = dx * dx + dy * dy;
      const share = length ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
      const at = [x0 + share * dx, y0 + share * dy], distance = Math.hypot(at[0] - x, at[1] - y);
      if (distance < best.distance) best = { distance, at };
    });
    return best;
  };

  const choose = (mark) => {
    near?.classList.remove("near");
    near = mark;
    near?.classList.add("near");
    tip.hidden = !mark;
  };

  const look = (svg, event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let found = { distance: REACH };
    for (const mark of svg.querySelectorAll(MARKS)) {
      if (getComputedStyle(mark).display === "none") continue;
      const one = nearest(mark, x, y);
      // What is drawn in front counts where two are as near: it comes later.
      if (one.distance <= found.distance) found = { ...one, mark };
    }
    choose(found.mark ?? null);
    if (!found.mark) return;
    tip.textContent = `${found.mark.words}\n${svg.readY(found.at[1])} at ${svg.readX(found.at[0])} evaluations`;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${event.clientY - height - 12 > 0 ? event.clientY - height - 12 : event.clientY + 18}px`;
  };

  for (const svg of document.querySelectorAll("svg[data-x]")) {
    svg.readX = reader(svg.dataset.x);
    svg.readY = reader(svg.dataset.y);
    for (const mark of svg.querySelectorAll(MARKS)) {
      const title = mark.querySelector("title");
      mark.words = title.textContent;
      title.remove(); // the browser would show it too
    }
    for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, (event) => look(svg, event));
    svg.addEventListener("pointerleave", () => choose(null));
  }
})();
