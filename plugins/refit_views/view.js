// Follows Airflow's theme, and lets links lead out of Airflow's frame, whose sandbox forbids them to do so themselves.
"use strict";

const outside = window.parent === window ? null : window.parent.document;

function clear(element) {
  return window.parent.getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)";
}

function follow() {
  const root = outside.documentElement;
  document.documentElement.dataset.theme = root.classList.contains("dark") ? "dark" : "light";
  // Airflow paints what is around the frame, not its body alone: the nearest that is not transparent.
  let around = window.frameElement;
  while (around && clear(around)) around = around.parentElement;
  document.body.style.background = around ? window.parent.getComputedStyle(around).backgroundColor : "";
}

if (outside) {
  follow();
  new MutationObserver(follow).observe(outside.documentElement, { attributes: true, attributeFilter: ["class"] });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[target=_top]");
    if (!link) return;
    event.preventDefault();
    const way = outside.createElement("a");
    way.href = link.href;
    way.click();
  });
}
