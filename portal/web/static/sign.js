// Has an instruction signed by a passkey: the browser makes the challenge itself from what the page shows.
//
// The challenge is the hash of the leaf that will stand in the log. A server that shows one instruction and asks for a
// signature of another is refused here: the commitment in the leaf is made anew from the content that is shown.
// docs/specs/browser-verification.md, "Signing". No library; texts are the page's (data-say-…).

import { commitment, leafHash, Lie, matches, say, toHex, toUnpadded, unpadded } from "./verify.js";

/** The hash of the leaf that commits to this content at this place; Lie when the leaf is another one. */
export async function challengeOf(prepared, agency) {
  const leaf = JSON.parse(prepared.leaf);
  const made = toHex(await commitment(prepared.salt, prepared.index, prepared.content));
  const ours = leaf.format === "depositaire-leaf" && leaf.version === 1 && leaf.agency === agency;
  const placed = leaf.index === prepared.index && leaf.at === prepared.at && leaf.commitment === made;
  if (!ours || !placed) throw new Lie("challenge");
  return leafHash(prepared.leaf);
}

/** What the page shows is what the content says: every field, and the whole of it in [data-content]. */
export function shownToSign(root, content, leaf) {
  const { body } = JSON.parse(content);
  if (root.querySelector("[data-field]") === null || !matches(root, body, leaf)) throw new Lie("shown");
  for (const whole of root.querySelectorAll("[data-content]")) whole.textContent = content;
}

/** Ask a passkey for its signature. `passkeys`: [{credential: "CRD-…", id: base64url}], those that may sign. */
export async function assertion(challenge, relyingParty, passkeys) {
  const allowCredentials = passkeys.map((p) => ({ type: "public-key", id: unpadded(p.id) }));
  const publicKey = { challenge, rpId: relyingParty, allowCredentials, userVerification: "required" };
  const made = await navigator.credentials.get({ publicKey });
  const used = passkeys.find((p) => p.id === toUnpadded(made.rawId));
  if (used === undefined) throw new Lie("stranger");
  return {
    credential: used.credential,
    authenticator_data: toUnpadded(made.response.authenticatorData),
    client_data: toUnpadded(made.response.clientDataJSON),
    signature: toUnpadded(made.response.signature),
  };
}

/** Enrol a passkey. `options`: PublicKeyCredentialCreationOptions whose bytes are base64url. */
export async function registration(options) {
  const excludeCredentials = (options.excludeCredentials ?? []).map((c) => ({ ...c, id: unpadded(c.id) }));
  const user = { ...options.user, id: unpadded(options.user.id) };
  const publicKey = { ...options, user, excludeCredentials, challenge: unpadded(options.challenge) };
  const made = await navigator.credentials.create({ publicKey });
  return {
    id: made.id,
    rawId: toUnpadded(made.rawId),
    type: made.type,
    response: {
      attestationObject: toUnpadded(made.response.attestationObject),
      clientDataJSON: toUnpadded(made.response.clientDataJSON),
      transports: made.response.getTransports?.() ?? [],
    },
    // For the log: the key as every checker reads it, and its COSE number.
    public_key: toUnpadded(made.response.getPublicKey()),
    algorithm: made.response.getPublicKeyAlgorithm(),
  };
}

async function post(root, said) {
  const headers = { "Content-Type": "application/json", "X-Form": root.dataset.form ?? "" };
  const answer = await fetch(root.dataset.post, {
    method: "POST", credentials: "same-origin", headers, body: JSON.stringify(said),
  }).catch(() => null);
  // Whoever hears nothing cannot know what was recorded.
  if (answer === null || answer.status >= 500) throw new Lie("unreachable");
  // 409: the log has grown meanwhile, or it took too long. What is to be signed is another leaf now.
  if (!answer.ok) throw new Lie(answer.status === 409 ? "again" : "refused");
  return answer.json();
}

const jsonIn = (root, name) => JSON.parse(root.querySelector(`script[data-${name}]`).textContent);

async function signed(root) {
  const prepared = jsonIn(root, "prepared");
  const challenge = await challengeOf(prepared, root.dataset.agency);
  shownToSign(root, prepared.content, JSON.parse(prepared.leaf));
  const made = await assertion(challenge, root.dataset.relyingParty, jsonIn(root, "passkeys"));
  return made;
}

/** Before anybody is asked: a page that shows something else than would be signed is told of at once. */
async function shownAtOnce(root) {
  const prepared = jsonIn(root, "prepared");
  await challengeOf(prepared, root.dataset.agency);
  shownToSign(root, prepared.content, JSON.parse(prepared.leaf));
}

/** Bind a page: an element with data-sign or data-register, a button in it, a place for what is said. */
export function bind(root) {
  const told = root.querySelector("[data-told]");
  const button = root.querySelector("button[data-go]");
  const tell = (code) => { told.dataset.verdict = code; told.textContent = say(root, code); };
  if (root.hasAttribute("data-sign")) shownAtOnce(root).catch((no) => tell(no instanceof Lie ? no.code : "challenge"));
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const { reference } = root.dataset;
      const made = root.hasAttribute("data-sign") ? signed(root) : registration(jsonIn(root, "options"));
      const said = { reference, ...(await made) };
      const answer = await post(root, said);
      tell("done");
      if (answer.location) window.location.assign(answer.location);
    } catch (no) {
      // Whoever closes the window of the passkey gets a DOMException: nothing was signed.
      tell(no instanceof Lie ? no.code : no instanceof DOMException ? "cancelled" : "refused");
      button.disabled = false;
    }
  });
}

if (typeof document !== "undefined") for (const e of document.querySelectorAll("[data-sign], [data-register]")) bind(e);
