// Filters that act at once: a form with data-live="#part" takes that part of its answer into the page. Without
// JavaScript the same form loads the same page.
"use strict";

for (const form of document.querySelectorAll("form[data-live]")) {
  let asked = 0;
  const part = () => document.querySelector(form.dataset.live);

  async function load(address) {
    const mine = ++asked;
    part().setAttribute("aria-busy", "true");
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector(form.dataset.live);
    if (mine !== asked) return;
    if (!answer.ok || answer.redirected || !fresh) return location.assign(address);
    part().replaceWith(document.adoptNode(fresh));
    history.replaceState(null, "", address);
    document.dispatchEvent(new CustomEvent("depositaire:shown"));
  }

  const now = () => load(`${form.action}?${new URLSearchParams(new FormData(form))}`);
  form.addEventListener("change", now);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    now();
  });
}
