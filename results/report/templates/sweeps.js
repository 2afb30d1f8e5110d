"use strict";
// Shows the sweeps that are asked for, and leads to the comparison of two that are chosen, the first one as A.
(() => {
  const words = document.getElementById("words"), stage = document.getElementById("stage");
  const count = document.getElementById("count"), button = document.getElementById("compare");
  let chosen = [];

  const filter = () => {
    const rows = [...document.querySelectorAll("tr[data-stage]")], wanted = words.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const is = (!stage.value || row.dataset.stage === stage.value) && wanted.every((word) => row.dataset.words.includes(word));
      row.hidden = !is;
    }
    const text = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
    if (count.textContent !== text) count.textContent = text;
  };

  const choose = () => {
    const boxes = new Map([...document.querySelectorAll(".sweeps input:checked")].map((box) => [box.value, box.dataset.name]));
    chosen = [...chosen.filter((value) => boxes.has(value)), ...[...boxes.keys()].filter((value) => !chosen.includes(value))];
    const names = chosen.map((value) => boxes.get(value));
    button.disabled = chosen.length !== 2;
    button.textContent = chosen.length === 2 ? `Compare ${names[0]} (A) with ${names[1]} (B)`
      : chosen.length > 2 ? `${chosen.length} are chosen: choose two to compare`
      : chosen.length ? "Choose one more to compare" : "Choose two sweeps to compare";
  };

  const again = () => (filter(), choose());
  words.addEventListener("input", filter);
  stage.addEventListener("change", filter);
  document.addEventListener("change", (event) => event.target.closest(".sweeps") && choose());
  document.addEventListener("replaced", again);
  button.addEventListener("click", () => location.assign(`compare/${chosen.join("/")}/`));
  again();
})();
