// Follows Airflow's theme, and lets links lead out of Airflow's frame, whose sandbox forbids them to do so themselves.
"use strict";

const outside = window.parent === window ? null : window.parent.document;

function follow() {
  const root = outside.documentElement;
  document.documentElement.dataset.theme = root.classList.contains("dark") ? "dark" : "light";
  document.body.style.background = window.parent.getComputedStyle(outside.body).backgroundColor;
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
