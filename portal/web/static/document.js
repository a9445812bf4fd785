// The digest of a document, made here: the file itself stays on this machine. And whoever fills in a box below "only
// these" means it.
"use strict";

for (const chosen of document.querySelectorAll("input[type=file][data-digest]")) {
  chosen.closest("[hidden]").hidden = false;
  const target = document.querySelector(chosen.dataset.digest);
  chosen.addEventListener("change", async () => {
    const [file] = chosen.files;
    if (file === undefined) return;
    const raw = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    target.value = Array.from(new Uint8Array(raw), (b) => b.toString(16).padStart(2, "0")).join("");
  });
}

for (const part of document.querySelectorAll("[data-chooses]")) {
  const one = document.querySelector(part.dataset.chooses);
  part.addEventListener("change", () => { one.checked = true; });
}
