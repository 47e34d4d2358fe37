/* Uploads: many files or addresses, a few at a time, each with a bar of its own. */
(() => {
  "use strict";
  // Files: three at a time, each with its own bar; what comes back replaces the bar.
  const waiting = [];
  let running = 0;
  const told = { sent: 0, done: 0 };
  const summary = () => {
    const place = document.querySelector("[data-upload-summary]");
    if (place) place.textContent = told.done + " of " + told.sent + " files read";
  };
  const send = (files) => {
    for (const file of files) {
      const url = typeof file === "string" ? file : null;
      const box = document.createElement("section");
      box.className = "file";
      const head = document.createElement("header");
      const name = document.createElement("strong");
      name.textContent = url || file.name;
      const state = document.createElement("span");
      state.className = "muted small";
      state.textContent = "waiting";
      head.append(name, state);
      const bar = document.createElement("progress");
      bar.max = 100;
      bar.value = 0;
      bar.setAttribute("aria-label", "Upload of " + (url || file.name));
      box.append(head, bar);
      document.getElementById("files").append(box);
      waiting.push({ file, url, box, bar, state });
      told.sent += 1;
    }
    summary();
    next();
  };
  const next = () => {
    while (running < 3 && waiting.length) one(waiting.shift());
  };
  const one = ({ file, url, box, bar, state }) => {
    running += 1;
    const form = document.querySelector("[data-upload]");
    const body = new FormData();
    if (url) body.append("url", url);
    else body.append("file", file);
    body.append("base_url", form.querySelector("[name=base_url]").value);
    if (form.querySelector("[name=replace]").checked) body.append("replace", "yes");
    for (const name of ["persona", "topic"]) body.append(name, form.querySelector("[name=" + name + "]").value);
    const request = new XMLHttpRequest();
    request.open("POST", url ? document.querySelector("[data-urls]").dataset.urls : form.dataset.upload);
    request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrf_token]").value);
    request.setRequestHeader("X-Requested-With", "studio");
    state.textContent = "sending";
    request.upload.onprogress = (event) => {
      bar.value = event.lengthComputable ? 90 * event.loaded / event.total : 45;
      if (event.loaded === event.total) state.textContent = "being read";
    };
    const failed = (text) => {
      box.className = "file failed";
      bar.remove();
      state.textContent = text;
    };
    request.onload = () => {
      const to = request.getResponseHeader("HX-Redirect");
      if (to) { window.location.assign(to); return; }
      if (request.status >= 400) { failed(request.responseText.slice(0, 300)); return; }
      if ((request.getResponseHeader("Content-Type") || "").startsWith("application/json")) {
        const addresses = JSON.parse(request.responseText).addresses;
        bar.remove();
        box.className = "file live";
        state.textContent = "a feed of " + addresses.length + (addresses.length === 1 ? " page" : " pages");
        send(addresses);
        return;
      }
      const part = document.createElement("template");
      part.innerHTML = request.responseText;
      const fresh = part.content.firstElementChild;
      box.replaceWith(fresh);
      window.htmx.process(fresh);
    };
    request.onerror = () => failed("The connection broke off. Choose the file again.");
    request.onloadend = () => { running -= 1; told.done += 1; summary(); next(); };
    request.send(body);
  };
  const drop = document.querySelector("[data-drop]");
  if (drop) {
    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => { event.preventDefault(); send([...event.dataTransfer.files]); });
  }
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-urls]")) return;
    event.preventDefault();
    const field = event.target.querySelector("textarea");
    send([...new Set(field.value.split(/\s+/).filter(Boolean))].slice(0, 50));
    field.value = "";
  });

  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.matches("[data-files]")) { send([...target.files]); target.value = ""; }
  });
})();
