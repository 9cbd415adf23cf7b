"use strict";
// Tables: a click, or Enter on the heading, sorts; again, the other way round.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.v ?? cell.textContent.trim();
  return text !== "" && !isNaN(text) ? Number(text) : text;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = heading.cellIndex;
    const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
    const filled = rows.filter(([value]) => value !== "");
    filled.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
    const empty = rows.filter(([value]) => value === ""); // last, either way
    body.append(...[...filled, ...empty].map(([, row]) => row));
  });
}
// All runs: what is typed hides the other rows, and what belongs to them.
for (const input of document.querySelectorAll(".filter input")) {
  const section = input.closest("section");
  const rows = [...section.querySelectorAll("tr[data-run]")];
  const belongs = [...section.querySelectorAll("li[data-run], polyline[data-run]")];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    const shown = new Set();
    for (const row of rows) {
      const text = [...row.cells].map((c) => c.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown.add(row.dataset.run);
    }
    for (const part of belongs) part.toggleAttribute("hidden", !shown.has(part.dataset.run));
    const all = shown.size === rows.length;
    section.querySelector("output").value = all ? "" : `${shown.size} of ${rows.length}`;
  });
}
// Figures: the value under the pointer, or under a finger.
const tip = document.getElementById("tip");
document.addEventListener("pointerover", (event) => {
  const text = event.target.dataset?.tip;
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, room))}px`;
  const above = event.clientY - tip.offsetHeight - 12;
  tip.style.top = `${above > 8 ? above : event.clientY + 18}px`;
});
// A link to a folded part opens it.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const folded = target && target.closest("details");
  if (!folded) return;
  for (let d = folded; d; d = d.parentElement.closest("details")) d.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
