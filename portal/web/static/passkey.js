// Passkeys: ask for a challenge, let the browser make or show a passkey, send what it says. Nothing is decided here.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function send(path, body) {
  const form = document.querySelector('meta[name="form"]').content;
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Form": form },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.no || "");
  return said;
}

const named = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));

async function make(options) {
  const user = { ...options.user, id: bytes(options.user.id) };
  const publicKey = {
    ...options, user, challenge: bytes(options.challenge), excludeCredentials: named(options.excludeCredentials),
  };
  const made = await navigator.credentials.create({ publicKey });
  return said(made, { attestationObject: text(made.response.attestationObject) });
}

// What is signed to come in is never what an instruction is signed by: the hash of these words and of what was given,
// while an instruction's is the hash of a leaf. And any passkey may be shown, not one that the server names.
async function show(options) {
  const words = new TextEncoder().encode("depositaire-sign-in/1\n");
  const given = bytes(options.challenge);
  const both = new Uint8Array(words.length + given.length);
  both.set(words);
  both.set(given, words.length);
  const challenge = new Uint8Array(await crypto.subtle.digest("SHA-256", both));
  const publicKey = { ...options, challenge, allowCredentials: [] };
  const shown = await navigator.credentials.get({ publicKey });
  const { authenticatorData, signature, userHandle } = shown.response;
  return said(shown, {
    authenticatorData: text(authenticatorData), signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

const said = (credential, response) => ({
  id: credential.id, rawId: text(credential.rawId), type: credential.type,
  response: { ...response, clientDataJSON: text(credential.response.clientDataJSON) },
});

for (const button of document.querySelectorAll("[data-passkey]")) {
  button.addEventListener("click", async () => {
    const alert = button.parentElement.querySelector("[role=alert]");
    alert.hidden = true;
    button.disabled = true;
    try {
      const options = await send(button.dataset.challenge, {});
      const credential = await (button.dataset.passkey === "make" ? make(options) : show(options));
      location.assign((await send(button.dataset.answer, { credential: JSON.stringify(credential) })).next);
    } catch (no) {
      alert.textContent = (no.name === "Error" && no.message) || button.dataset.failed;
      alert.hidden = false;
      button.disabled = false;
    }
  });
}
