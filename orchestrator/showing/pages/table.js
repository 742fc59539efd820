"use strict";
// The table of trials: sorted by a click on a heading, a few rows first.
(() => {
  const { columns, rows, descending, sorted } = JSON.parse(document.getElementById("table-data").textContent);
  const table = document.getElementById("table"), more = document.getElementById("more"), only = document.getElementById("only");
  const FEW = 100;
  let by = sorted, down = descending, all = false;

  // Five significant digits, as everywhere else.
  const shown = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return String(Number(value.toPrecision(5)));
  };
  // Numbers before words, and what is missing last either way.
  const compare = (one, other) => {
    const [a, b] = [one[by], other[by]];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return down ? -order : order;
  };
  const draw = () => {
    const chosen = rows.filter((row) => !only.value || row[1] === only.value).sort(compare);
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    columns.forEach((name, place) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      button.type = "button";
      // A long name may fold behind an underscore.
      for (const part of name.split(/(?<=_)/)) button.append(part, document.createElement("wbr"));
      button.append(place === by ? (down ? " ▼" : " ▲") : "");
      button.onclick = () => { down = place === by ? !down : false; by = place; draw(); };
      cell.append(button);
      cell.ariaSort = place === by ? (down ? "descending" : "ascending") : "none";
      head.append(cell);
    });
    const body = table.createTBody();
    for (const row of all ? chosen : chosen.slice(0, FEW)) {
      const line = body.insertRow();
      for (const value of row) line.insertCell().textContent = shown(value);
    }
    wider();
    more.hidden = all || chosen.length <= FEW;
    more.textContent = `show all ${chosen.length} rows`;
  };
  const wider = () => { document.getElementById("wider").hidden = table.offsetWidth <= table.parentNode.clientWidth; };
  addEventListener("resize", wider);
  for (const state of new Set(rows.map((row) => row[1]))) only.add(new Option(state, state));
  only.onchange = draw;
  more.onclick = () => { all = true; draw(); };
  draw();
})();
