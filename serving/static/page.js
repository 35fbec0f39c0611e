// Comforts on top of pages that work without this file: upload progress, sorting and filtering of a table.
"use strict";

function sortable(table) {
  table.querySelectorAll("thead th").forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const key = (row) => row.cells[index].textContent;
      const compare = (a, b) => {
        const x = Number(key(a)), y = Number(key(b));
        return Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
      };
      [...body.rows].sort((a, b) => (up ? compare(a, b) : compare(b, a))).forEach((row) => body.append(row));
    });
  });
}

function filterable(input, table) {
  input.closest(".js-only").hidden = false;
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

function withProgress(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const box = form.querySelector("#progress"), bar = box.querySelector("progress"), text = box.querySelector("p");
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.upload.addEventListener("progress", (e) => {
      if (!e.lengthComputable) return;
      bar.value = (100 * e.loaded) / e.total;
      text.textContent = `${form.dataset.uploading} ${Math.round(bar.value)} %`;
      if (e.loaded === e.total) { bar.removeAttribute("value"); text.textContent = form.dataset.scoring; }
    });
    request.addEventListener("load", () => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      document.title = page.title;
      document.querySelector("main").replaceWith(page.querySelector("main"));
      start();
      document.querySelector("main").focus();
    });
    request.addEventListener("error", () => { bar.value = 0; text.textContent = form.dataset.failed; });
    box.hidden = false;
    request.send(new FormData(form));
  });
}

function start() {
  const table = document.getElementById("rows"), filter = document.getElementById("filter"), upload = document.getElementById("upload");
  if (table) sortable(table);
  if (table && filter) filterable(filter, table);
  if (upload) withProgress(upload);
}

start();
