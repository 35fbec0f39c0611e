// Follows Airflow's theme, and lets links lead out of Airflow's frame, whose sandbox forbids them to do so themselves.
"use strict";

const outside = window.parent === window ? null : window.parent.document;

function follow() {
  const root = outside.documentElement;
  document.documentElement.dataset.theme = root.classList.contains("dark") ? "dark" : "light";
  // Airflow may paint another element than its body: a body that is transparent says nothing.
  const background = window.parent.getComputedStyle(outside.body).backgroundColor;
  document.body.style.background = background === "rgba(0, 0, 0, 0)" ? "" : background;
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
