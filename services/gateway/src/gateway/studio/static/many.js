/* Many at once: ticking rows and all that was found, and long work in steps that one can watch and stop. */
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const toast = (text) => document.dispatchEvent(new CustomEvent("studio:toast", { detail: text }));

  // All that the filters find, beyond the rows in sight; null while only rows are ticked.
  let found = null;

  // Ticked rows: the bar of bulk changes is there while something is ticked.
  const ticks = () => {
    const bar = document.querySelector("[data-bulk]");
    if (!bar) return;
    const boxes = all("input[name=id]");
    const count = found ? found.length : boxes.filter((box) => box.checked).length;
    bar.hidden = count === 0;
    // Only with something to say: the first number that a page writes so loads the browser's tables of a language.
    if (count) bar.querySelector("[data-count]").textContent = count.toLocaleString("en") + " ticked";
    const more = bar.querySelector("[data-tick-found]");
    if (more) more.hidden = Boolean(found) || !boxes.every((box) => box.checked);
    const form = bar.closest("form");
    if (found) form.dataset.ask = "Change all " + count.toLocaleString("en") + " assets that were found, on every page? You can take it back afterwards.";
    else delete form.dataset.ask;
  };
  const bulkFields = (select) => {
    const form = select.form;
    const option = select.selectedOptions[0];
    all("[data-for]", form).forEach((field) => { field.hidden = field.dataset.for !== option.dataset.needs; });
  };
  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.matches("[data-tick-all]")) all("input[name=id]").forEach((box) => { box.checked = target.checked; });
    if (target.matches("[data-tick-all],input[name=id]")) { found = null; ticks(); }
    if (target.matches("[data-bulk-do]")) bulkFields(target);
  });
  document.addEventListener("click", (event) => {
    const whole = event.target.closest("[data-tick-found]");
    if (!whole) return;
    whole.disabled = true;
    fetch(whole.dataset.tickFound, { headers: { "X-Requested-With": "studio" } })
      .then((answer) => { if (!answer.ok) throw new Error("The whole list could not be read. Try again."); return answer.json(); })
      .then((told) => {
        found = told.ids;
        if (told.total > found.length) toast("At once " + found.length.toLocaleString("en") + " can be changed; narrow the filters for the rest.");
        ticks();
      })
      .catch((error) => toast(error.message))
      .finally(() => { whole.disabled = false; });
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "found") return;
    found = null;
    all("[data-bulk-do]").forEach(bulkFields);
    ticks();
  });

  // Long work goes a few steps at a time, so that its bar moves and it can be stopped between two of them.
  const step = async (url, form) => {
    const answer = await fetch(url, {
      method: "POST", body: form, redirect: "error",
      headers: { "X-Requested-With": "studio", "X-CSRFToken": document.querySelector("[name=csrf_token]").value },
    });
    const to = answer.headers.get("HX-Redirect");
    if (to) { window.location.assign(to); throw new Error("You were signed out. Sign in again."); }
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
    return answer.json();
  };
  const working = (title) => {
    const dialog = document.getElementById("work");
    const state = { stopped: false };
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector("[data-stop]").onclick = () => { state.stopped = true; };
    dialog.oncancel = (event) => { event.preventDefault(); state.stopped = true; };
    state.at = (done, of) => {
      dialog.querySelector("progress").value = of ? 100 * done / of : 0;
      dialog.querySelector("[data-how-far]").textContent = done.toLocaleString("en") + " of " + of.toLocaleString("en");
    };
    state.end = () => { dialog.oncancel = null; dialog.close(); };
    dialog.showModal();
    return state;
  };
  const changeMany = async (form, ids) => {
    const work = working("Changing assets");
    const rest = new FormData(form);
    rest.delete("id");
    const entries = [];
    const failures = [];
    let sent = 0;
    try {
      while (sent < ids.length && !work.stopped) {
        work.at(sent, ids.length);
        const body = new FormData();
        for (const [name, value] of rest) body.append(name, value);
        const some = ids.slice(sent, sent + 20);
        some.forEach((id) => body.append("id", id));
        const told = await step(form.action, body);
        entries.push(...told.entries);
        failures.push(...told.failures);
        sent += some.length;
      }
    } catch (error) { failures.unshift(error.message); }
    // Whatever happened: what was changed by now is closed as one, so that it can be taken back.
    rest.append("entries", entries.join(","));
    rest.append("of", ids.length);
    rest.append("changed", Math.max(0, sent - failures.length));
    failures.slice(0, 4).forEach((text) => rest.append("failure", text));
    try { window.location.assign((await step(form.dataset.many, rest)).to); } catch (error) { work.end(); toast(error.message); }
  };
  const inSteps = async (form) => {
    let work = null;
    let at = { next: 0, of: 0, done: 0, problem: "" };
    try {
      while (!at.to && !work?.stopped) {
        if (at.of) {
          work = work || working(form.dataset.steps); // what is done at once shows no bar
          work.at(at.next, at.of);
        }
        const body = new FormData(form);
        body.append("from", at.next);
        body.append("done", at.done);
        body.append("problem", at.problem);
        at = await step(form.action, body);
      }
      if (at.to) { window.location.assign(at.to); return; }
      work.end();
      toast("Stopped: " + at.done.toLocaleString("en") + " of " + at.of.toLocaleString("en") + " taken back. The button beside it, or the audit log, takes back the rest.");
    } catch (error) { work?.end(); toast(error.message); }
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-many]") && found) { event.preventDefault(); changeMany(form, found); }
    if (form.matches("[data-steps]")) { event.preventDefault(); inSteps(form); }
  });

  all("[data-bulk-do]").forEach(bulkFields);
  ticks();
})();
