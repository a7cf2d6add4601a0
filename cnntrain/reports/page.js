"use strict";
// Without this script the cells work too: they are links to what they open (:target in the style).
document.documentElement.classList.add("js");

let opener = null; // what gets the focus back

function open(hash) {
  const dialog = hash.startsWith("#cell-") && document.getElementById(hash.slice(1));
  if (!dialog || dialog.open) return false;
  opener = document.activeElement;
  dialog.showModal();
  dialog.scrollTop = 0;
  return true;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link && link.classList.contains("close")) {
    event.preventDefault();
    link.closest("dialog").close();
  } else if (link && open(link.hash)) {
    event.preventDefault();
  } else if (event.target.matches("dialog")) {
    event.target.close(); // a click beside it
  }
});

// close does not bubble, so it is caught on its way down.
document.addEventListener("close", () => opener && opener.focus(), true);

// Space presses what says that it is a button; arrows go from cell to cell of the matrix.
const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
document.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target.matches("a.close")) {
    event.preventDefault();
    event.target.click();
  }
  const cell = event.target.closest("#matrix td");
  if (!cell || !(event.key in steps)) return;
  event.preventDefault();
  const [down, right] = steps[event.key];
  const rows = document.getElementById("matrix").rows;
  for (let row = cell.parentNode.rowIndex + down, column = cell.cellIndex + right; ; row += down, column += right) {
    const next = rows[row] && rows[row].cells[column];
    if (!next) return;
    const link = next.querySelector("a");
    if (link) return link.focus();
  }
});

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
addEventListener("hashchange", () => open(location.hash));
open(location.hash);
