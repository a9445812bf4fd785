// A part of a page that waits for something: it is fetched again until it waits no more. Without JavaScript a link does.
"use strict";

const EVERY = 1500; // milliseconds

async function look() {
  const part = document.querySelector("[data-wait]");
  if (!part) return;
  const answer = await fetch(part.dataset.wait, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(part.id);
  if (!answer.ok || answer.redirected || !fresh) return location.reload();
  part.replaceWith(document.adoptNode(fresh));
  setTimeout(look, EVERY);
}

setTimeout(look, EVERY);
