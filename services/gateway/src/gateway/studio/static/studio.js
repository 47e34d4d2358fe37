/* What the studio's pages do beyond links and forms: asking before it is too late, telling what went wrong, filling a field. */
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.matches("[data-kind]")) all("[data-when]").forEach((part) => { part.hidden = part.dataset.when !== target.value; });
    if (target.matches("[data-submits]")) target.form.requestSubmit();
  });

  // A destructive step asks first, in a dialog that the keyboard can answer.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const question = event.submitter?.dataset.ask || form.dataset.ask;
    if (!question || form.dataset.answered) { delete form.dataset.answered; return; }
    event.preventDefault();
    event.stopImmediatePropagation();
    const dialog = document.getElementById("ask");
    dialog.querySelector("[data-question]").textContent = question;
    const submitter = event.submitter;
    dialog.onclose = () => {
      if (dialog.returnValue === "yes") { form.dataset.answered = "1"; form.requestSubmit(submitter); }
    };
    dialog.returnValue = "";
    dialog.showModal();
  }, true);

  const toast = (text) => {
    const place = document.getElementById("toast");
    place.querySelector("p").textContent = text;
    place.hidden = false;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { place.hidden = true; }, 8000);
  };
  document.addEventListener("studio:toast", (event) => toast(event.detail));
  document.addEventListener("htmx:responseError", (event) => toast(event.detail.xhr.responseText.slice(0, 300)));
  document.addEventListener("htmx:sendError", () => toast("Foreword does not answer. Check the connection and try again."));
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const source = document.getElementById(copy.dataset.copy);
      // Browsers hand the clipboard to pages over TLS alone; elsewhere the text is marked, ready for Ctrl-C.
      const marked = () => { window.getSelection().selectAllChildren(source); copy.textContent = "Marked: press Ctrl-C"; };
      if (!navigator.clipboard) marked();
      else navigator.clipboard.writeText(source.textContent.trim()).then(() => { copy.textContent = "Copied"; }, marked);
    }
    if (event.target.closest("[data-print]")) window.print();
    const add = event.target.closest("[data-add-to]");
    if (add) {
      const field = add.form.querySelector("[data-pick]");
      const list = add.form.querySelector("textarea[name=" + add.dataset.addTo + "]");
      const lines = list.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (field.value.trim() && !lines.includes(field.value.trim())) list.value = [...lines, field.value.trim()].join("\n");
      field.value = "";
      list.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    }
    const more = event.target.closest("[data-add-rule]");
    if (more) {
      const fresh = more.previousElementSibling.cloneNode(true);
      const number = more.parentElement.querySelectorAll(".rule").length + 1;
      all("input,select", fresh).forEach((field) => {
        if (field.matches("input")) field.value = "";
        field.setAttribute("aria-label", (field.getAttribute("aria-label") || "").replace(/rule \d+/, "rule " + number));
      });
      more.before(fresh);
      fresh.querySelector("select").focus();
    }
  });

  // Enter in the field that finds an asset means the button beside it, and not to save the whole form.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("[data-pick]")) return;
    event.preventDefault();
    event.target.form.querySelector("[data-add-to]").click();
  });

  all("[data-kind]").forEach((select) => { all("[data-when]").forEach((part) => { part.hidden = part.dataset.when !== select.value; }); });
  // On a phone the menu scrolls sideways; where one is must be in sight. Asked at once it would lay the page out twice.
  requestAnimationFrame(() => document.querySelector(".menus [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }));
})();
