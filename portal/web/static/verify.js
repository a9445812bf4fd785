// Checks an agency's log in the browser: what the page shows is in the log, and the log is the one seen last time.
//
// The server that sends this page could lie in it. So this asks it for signatures and proofs, never for a yes or a no,
// and does the sums with the browser's own cryptography (docs/specs/browser-verification.md). We must know that
// 1. the head of the log is signed by the key that this browser pinned on its first visit;
// 2. the head extends the last one that this browser has seen: no shorter, and proven to begin with the same leaves;
// 3. each entry shown is a leaf of that head, and commits to the content that stands for it;
// 4. each field that the page shows says what that content says, and no leaf of the stated range is left out;
// 5. an entry that is said to be signed is: by a passkey that the log enrolled, over the hash of that very leaf.

const text = new TextEncoder();
const TAG = text.encode("depositaire-commitment/1\n"); // docs/specs/instruction-log.md, "One leaf"

/** What does not hold. `code` names a text of the page (data-say-…); `index`: the leaf, where it is one. */
export class Lie extends Error {
  constructor(code, index = null) { super(code); this.code = code; this.index = index; }
}
const must = (holds, code, index = null) => { if (!holds) throw new Lie(code, index); };

// -- bytes ----------------------------------------------------------------------------------------------------------

export const base64 = (said) => Uint8Array.from(atob(said), (c) => c.charCodeAt(0));
export const unpadded = (said) => base64(said.replaceAll("-", "+").replaceAll("_", "/"));
export const toUnpadded = (raw) =>
  btoa(String.fromCharCode(...new Uint8Array(raw))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
export const hex = (said) => Uint8Array.from(said.match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const toHex = (raw) => Array.from(raw, (b) => b.toString(16).padStart(2, "0")).join("");
const same = (a, b) => toHex(a) === toHex(b);

export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => { whole.set(p, at); return at + p.length; }, 0);
  return whole;
}
const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));

function eightBytes(index) {
  const raw = new Uint8Array(8);
  new DataView(raw.buffer).setBigUint64(0, BigInt(index));
  return raw;
}

// -- the tree: RFC 6962 §2.1, RFC 9162 §2.1.3.2 and §2.1.4.2 --------------------------------------------------------

export const leafHash = (leaf) => sha256([0], text.encode(leaf));
const nodeHash = (left, right) => sha256([1], left, right);
const half = (n) => Math.floor(n / 2);
const isSize = (n) => Number.isSafeInteger(n) && n >= 0;

/** Whether the leaf with this hash is leaf `index` of the tree of `size` leaves with this root. */
export async function included(hash, index, size, proof, root) {
  if (!isSize(index) || !isSize(size) || index >= size) return false;
  let [at, last, node] = [index, size - 1, hash];
  for (const sibling of proof) {
    if (last === 0 || sibling.length !== 32) return false;
    if (at % 2 === 1 || at === last) {
      node = await nodeHash(sibling, node);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      node = await nodeHash(node, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && same(node, root);
}

/** Whether the tree of `second` leaves begins with the tree of `first`. */
export async function extended(first, second, proof, root1, root2) {
  if (!isSize(first) || !isSize(second) || first === 0 || first > second) return false;
  if (first === second) return proof.length === 0 && same(root1, root2);
  const path = Number.isInteger(Math.log2(first)) ? [root1, ...proof] : proof;
  if (path.length === 0 || path.some((p) => p.length !== 32)) return false;
  let [at, last] = [first - 1, second - 1];
  while (at % 2 === 1) [at, last] = [half(at), half(last)];
  let [old, fresh] = [path[0], path[0]];
  for (const sibling of path.slice(1)) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      old = await nodeHash(sibling, old);
      fresh = await nodeHash(sibling, fresh);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      fresh = await nodeHash(fresh, sibling); // what is at the right came after the first tree
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && same(old, root1) && same(fresh, root2);
}

// -- the signed head: C2SP signed-note and tlog-checkpoint ----------------------------------------------------------

/** Size and root that a checkpoint states, once its signature by this key (name+ID+base64) holds. */
export async function head(note, origin, key) {
  const [name, id, typed] = key.split(/\+([0-9a-f]{8})\+/);
  must(name === origin && typed !== undefined, "key");
  const kind = base64(typed); // one byte for the type (1: Ed25519), then the key
  const digest = await sha256(text.encode(`${name}\n`), kind);
  must(kind[0] === 1 && kind.length === 33 && toHex(digest.slice(0, 4)) === id, "key");
  const end = note.lastIndexOf("\n\n");
  const signed = note.slice(0, end + 1);
  const mine = note.slice(end + 2).split("\n").filter((line) => line.startsWith(`— ${origin} `));
  must(end > 0 && mine.length === 1, "head");
  const raw = base64(mine[0].slice(`— ${origin} `.length)); // four bytes of key ID, then the signature
  const imported = await crypto.subtle.importKey("raw", kind.slice(1), "Ed25519", false, ["verify"]);
  const holds = await crypto.subtle.verify("Ed25519", imported, raw.slice(4), text.encode(signed));
  must(holds && toHex(raw.slice(0, 4)) === id, "head");
  const lines = signed.split("\n");
  must(lines[0] === origin && /^(0|[1-9][0-9]{0,15})$/.test(lines[1]), "head");
  const root = base64(lines[2]);
  must(root.length === 32, "head");
  return { size: Number(lines[1]), root, note, key };
}

/** The head that this browser saw last of a log; null on the first visit. */
export function seen(storage, origin) {
  const kept = storage.getItem(`depositaire:${origin}`);
  if (kept === null) return null;
  const { size, root, note, key } = JSON.parse(kept);
  return { size, root: hex(root), note, key };
}

/** Keep a head that holds: the next visit is checked against it. */
export function keep(storage, origin, now) {
  const { size, root, note, key } = now;
  storage.setItem(`depositaire:${origin}`, JSON.stringify({ size, root: toHex(root), note, key }));
}

/** 1 and 2. The head of today, once it holds against what this browser saw. `proofOf(one, two)` asks for a proof. */
export async function verifiedHead(told, before, proofOf) {
  must(before === null || before.key === told.key, "key");
  const now = await head(told.note, told.origin, told.key);
  if (before === null || before.size === 0) return now;
  must(now.size >= before.size, "shorter");
  const proof = now.size === before.size ? [] : (await proofOf(before.size, now.size)).map(base64);
  must(await extended(before.size, now.size, proof, before.root, now.root), "forked");
  return now;
}

// -- entries --------------------------------------------------------------------------------------------------------

/** The commitment of a leaf to its content, 32 bytes: only whoever has the salt can make it. */
export const commitment = (salt, index, content) => sha256(TAG, hex(salt), eightBytes(index), text.encode(content));

/** 3. What a leaf says, once it is in the head's tree and commits to that. `body`: null where it is not shown. */
export async function verifiedEntry(told, now, origin, index = told.index) {
  const hash = await leafHash(told.leaf);
  const proof = told.proof.map(base64);
  must(told.index === index && (await included(hash, index, now.size, proof, now.root)), "entry", index);
  const leaf = JSON.parse(told.leaf);
  must(leaf.index === index && origin === `depositaire/${leaf.agency}/instructions`, "entry", index);
  if (told.content === null) return { hash, leaf, content: null, body: null };
  must(/^[0-9a-f]{64}$/.test(told.salt ?? ""), "content", index);
  must(toHex(await commitment(told.salt, index, told.content)) === leaf.commitment, "content", index);
  return { hash, leaf, content: told.content, body: JSON.parse(told.content).body };
}

const ALGORITHMS = { // COSE numbers, as WebCrypto calls them
  "-7": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "-8": { name: "Ed25519" },
  "-257": { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

/** An ECDSA signature as WebCrypto wants it: from two integers in DER, in their one spelling, to twice 32 bytes. */
function flat(der) {
  const number = (at) => der.slice(at + 2, at + 2 + der[at + 1]);
  const wide = (raw) => joined(new Uint8Array(Math.max(0, 32 - raw.length)), raw.slice(-32));
  const spelled = (raw) => {
    const bare = raw.slice(raw.findIndex((b) => b !== 0));
    must(bare.length <= 32, "signature");
    return joined([2, bare.length + (bare[0] >> 7)], new Uint8Array(bare[0] >> 7), bare);
  };
  const [r, s] = [number(2), number(4 + der[3])];
  const both = joined(spelled(r), spelled(s));
  must(same(der, joined([48, both.length], both)), "signature");
  return joined(wide(r), wide(s));
}

/** 5. Whether an assertion (Web Authentication level 2, §7.2) is this passkey's over a leaf with this hash. */
export async function asserted(signed, passkey, hash) {
  const data = unpadded(signed.authenticator_data);
  const client = unpadded(signed.client_data);
  const said = JSON.parse(new TextDecoder().decode(client));
  const asked = said.type === "webauthn.get" && said.challenge === toUnpadded(hash);
  const here = said.origin === passkey.origin && (said.crossOrigin ?? false) === false;
  const site = same(data.slice(0, 32), await sha256(text.encode(passkey.relying_party)));
  // The person was there (1) and made sure of (4); no key is enrolled (64); more follows only where it is said (128).
  const flags = (data[32] & 69) === 5 && data.length >= 37 && Boolean(data[32] & 128) === data.length > 37;
  const how = ALGORITHMS[String(passkey.algorithm)];
  if (!asked || !here || !site || !flags || how === undefined) return false;
  const key = await crypto.subtle.importKey("spki", unpadded(passkey.public_key), how, false, ["verify"]);
  const raw = unpadded(signed.signature);
  const message = joined(data, await sha256(client));
  return crypto.subtle.verify(how, key, how.name === "ECDSA" ? flat(raw) : raw, message);
}

const SIGNED = 25, ENROLLED = 23; // kinds of entry, docs/specs/signed-instructions.md

/** The passkey that signed an entry, with the leaf that enrolled it; null when nobody is said to have signed. */
export async function verifiedSigner(told, entry, now, origin) {
  if (told.signed === null || told.signed === undefined) return null;
  const signature = await verifiedEntry(told.signed.signature, now, origin, told.index + 1);
  const passkey = await verifiedEntry(told.signed.passkey, now, origin);
  const kinds = signature.leaf.kind === SIGNED && passkey.leaf.kind === ENROLLED && passkey.leaf.index < told.index;
  must(kinds && signature.body !== null && passkey.body !== null, "signature", told.index);
  const id = toHex(await sha256(unpadded(passkey.body.public_key))).slice(0, 10);
  const named = signature.body.credential === `CRD-${id}`;
  must(named && (await asserted(signature.body, passkey.body, entry.hash)), "signature", told.index);
  return { credential: `CRD-${id}`, enrolled: passkey.leaf.index };
}

// -- the page -------------------------------------------------------------------------------------------------------

/** How a value of a body is written on a page: lists by comma, nothing as a dash. */
export function plain(value) {
  if (value === null || value === undefined || value.length === 0) return "–";
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What an element shows: its words; <time> and <data> by their attribute: people read dates and codes as words. */
const shown = (e) => (e.tagName === "TIME" ? e.dateTime : e.tagName === "DATA" ? e.value : e.textContent).trim();

/** 4. Every element with data-field shows the value of that field of the body, every one with data-leaf of the leaf. */
export function matches(root, body, leaf = {}) {
  const says = (name, from) => [...root.querySelectorAll(`[data-${name}]`)]
    .every((e) => shown(e) === plain(from?.[e.dataset[name]]));
  return says("field", body) && says("leaf", leaf);
}

/** A text of the page (data-say-…), with what was found in the place of {words}: the script has no text of its own.
 *  People count entries from one: {number} is {index} and one, {by} is {enrolled} and one. */
export function say(root, code, words = {}) {
  const counted = { ...words, number: words.index + 1, by: words.enrolled + 1 };
  const found = root.getAttribute(`data-say-${code}`) ?? code;
  return found.replaceAll(/\{(\w+)\}/g, (whole, word) => counted[word] ?? whole);
}

const asJson = async (url) => {
  const answer = await fetch(url, { credentials: "same-origin", cache: "no-store" }).catch(() => null);
  must(answer?.ok, "unreachable");
  return answer.json();
};
/** What the log answers of these leaves, by index: with one question where they lie close together. */
async function answered(ask, entries, numbers, size) {
  const [low, wide] = [numbers[0], numbers.at(-1) - numbers[0] + 1];
  const told = new Map();
  for (const [first, count] of wide <= 100 ? [[low, wide]] : numbers.map((n) => [n, 1])) {
    const found = await ask(`${entries}?first=${first}&count=${count}&size=${size}`);
    found.entries.forEach((one, i) => told.set(first + i, one));
  }
  return told;
}

/** Check what is shown below an element with data-verify, and say below each entry and at the top what was found. */
export async function check(root, storage = localStorage, ask = asJson) {
  const { checkpoint, entries, consistency, origin, first } = root.dataset;
  const verdict = (e, code, words) => { e.dataset.verdict = code; e.textContent = say(root, code, words); };
  const top = root.querySelector("[data-verdict-of-all]");
  try {
    const told = await ask(checkpoint);
    must(told.origin === origin, "key");
    const before = seen(storage, origin);
    const nothing = told.size === 0 && told.note === "" && root.querySelector("[data-entry]") === null;
    if (nothing && before === null) return verdict(top, "empty"); // nothing was ever recorded: no head to sign
    must(told.note !== "", "shorter");
    const proofOf = async (one, two) => (await ask(`${consistency}?first=${one}&second=${two}`)).proof;
    const now = await verifiedHead(told, before, proofOf);
    const places = [...root.querySelectorAll("[data-entry]")];
    const numbers = places.map((p) => Number(p.dataset.entry)).sort((a, b) => a - b); // newest first, or oldest first
    // 4. A page that states a range shows every leaf of it: one that is left out makes a gap.
    const last = first === undefined ? null : Math.min(now.size, Number(first) + Number(root.dataset.count)) - 1;
    const every = numbers.length === last - Number(first) + 1 && numbers.every((n, i) => n === Number(first) + i);
    must(last === null || every, "missing");
    const all = numbers.length === 0 ? null : await answered(ask, entries, numbers, now.size);
    for (const place of places) {
      const index = Number(place.dataset.entry);
      const one = all.get(index) ?? { proof: [], leaf: "" };
      const entry = await verifiedEntry(one, now, origin, index);
      must(matches(place, entry.body, entry.leaf), "shown", index);
      const signer = await verifiedSigner(one, entry, now, origin);
      must((signer?.credential ?? "") === (place.dataset.signedBy ?? ""), "signature", index);
      for (const whole of place.querySelectorAll("[data-content]")) whole.textContent = entry.content ?? "";
      const code = entry.body === null ? "closed" : signer === null ? "unsigned" : "signed";
      for (const e of place.querySelectorAll("[data-verdict-of-entry]")) verdict(e, code, { index, ...signer });
    }
    keep(storage, origin, now);
    const words = { size: now.size, shown: numbers.length, first, last, before: before?.size, key: told.key };
    verdict(top, before === null ? "first" : "holds", words);
  } catch (lie) {
    const known = lie instanceof Lie ? lie : new Lie("unreadable");
    verdict(top, known.code, { index: known.index });
    root.querySelector(`[data-entry="${known.index}"]`)?.setAttribute("data-untrue", "");
  }
}

const checkAll = () => document.querySelectorAll("[data-verify]").forEach((root) => check(root));
if (typeof document !== "undefined") checkAll();
globalThis.document?.addEventListener("depositaire:shown", checkAll); // a part of the page was replaced
