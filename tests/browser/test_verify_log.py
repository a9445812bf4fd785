"""The browser's own check of a log: an honest server passes, every lie of a server is caught and said in words."""

import datetime as dt
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import BrowserContext, Page

from ledger import signing
from ledger.checkpoint import Checkpoint, sign_checkpoint, verifier_key
from ledger.entry import Window
from ledger.instruction_file import Paper
from ledger.leaf import origin
from ledger.orders import Channel, Synchronise
from ledger.signatures import Algorithm
from ledger.tree import Tree, leaf_hash
from pipelines.log_view import LogView
from schemas.ids import System
from schemas.mandate import Purpose
from tests.browser.served_log import CODES, SIGN_CODES, STATIC, Answer, ServedLog
from tests.unit.ledger import made
from tests.unit.ledger.orders_made import AT, CODE, GIVEN, restrict
from tests.unit.ledger.passkeys_made import SoftPasskey

VECTORS = Path(__file__).parents[1] / "vectors"
LATER = AT + dt.timedelta(hours=1)


def instruction() -> Paper:
    said = {k: v for k, v in GIVEN.items() if k not in ("agency", "recorded_at")} | {"channel": Channel.PORTAL}
    said |= {"systems": (System.SDGI, System.LOGIN), "tables": ("*",), "purposes": (Purpose.EXTRANET,)}
    return Paper(Synchronise, said)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedLog]:
    """A log of five leaves: an enrolment, a signed instruction, a restriction, a window."""
    log, passkey = made.log_at(tmp_path), SoftPasskey()
    signing.enrol(log, passkey.enrolled(), AT)
    prepared = signing.prepare(log, instruction(), AT)
    signing.record(log, prepared, passkey.id, passkey.assertion(prepared.leaf_hash), AT)
    log.append(restrict(), AT)
    log.append(Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 5)), AT)
    ready = ServedLog(log, made.keys_at(tmp_path), LATER)
    ready.show_all()
    with ready.running():
        yield ready


def visit(context: BrowserContext, served: ServedLog) -> Page:
    """The page, once its verdict is there."""
    page = context.new_page()
    page.on("console", lambda told: print(told.text))
    page.goto(served.address)
    page.wait_for_selector("[data-verdict-of-all][data-verdict]")
    return page


def verdict(context: BrowserContext, served: ServedLog) -> str | None:
    page = visit(context, served)
    found = page.get_attribute("[data-verdict-of-all]", "data-verdict")
    page.close()
    return found


def grow(served: ServedLog, times: int = 1) -> None:
    for n in range(times):
        served.log.append(restrict(again=n + 1, recorded_at=AT + dt.timedelta(minutes=n)), AT)
    served.show_all()


def head_of(served: ServedLog) -> tuple[Any, ...]:
    """The leaves of the log, and what the log signs them with."""
    log = LogView.of(served.log, served.keys, LATER).log
    return tuple(log.leaf(n) for n in range(1, log.size + 1))


def signed_head(served: ServedLog, leaves: tuple[bytes, ...], key: Ed25519PrivateKey | None = None) -> dict[str, Any]:
    """A checkpoint over any leaves, by the log's own key: what a server can do that turned bad."""
    tree = Tree(leaf_hash(raw) for raw in leaves)
    name = origin(CODE)
    note = sign_checkpoint(Checkpoint(name, tree.size, tree.root()), key or served.keys.signer)
    by = str(verifier_key(name, key or served.keys.signer))
    return {"origin": name, "key": by, "size": tree.size, "note": note.decode()}


# -- an honest server --------------------------------------------------------------------------------------------------


def test_an_honest_log_is_verified_on_every_visit_and_as_it_grows(context: BrowserContext, served: ServedLog) -> None:
    page = visit(context, served)
    assert page.inner_text("[data-verdict-of-all]").startswith("[first] 5")
    told = [e.inner_text() for e in page.query_selector_all("[data-verdict-of-entry]")]
    assert [t.split("]")[0] for t in told] == ["[unsigned", "[signed", "[unsigned", "[unsigned", "[unsigned"]
    assert SoftPasskey().id in told[1]
    stored = page.query_selector_all("[data-content]")[1].inner_text()
    assert json.loads(stored)["body"]["systems"] == ["sdgi", "login"]
    for more in (0, 1, 2, 7):
        grow(served, more)
        assert verdict(context, served) == "holds"


def test_proofs_of_every_size_pass_and_fail_as_the_ledger_says(context: BrowserContext, served: ServedLog) -> None:
    """The sums of the script against those of the ledger: every pair of sizes, every leaf, and each proof broken."""
    leaves = [bytes([n]) * 32 for n in range(18)]
    cases = []
    for size in range(1, len(leaves) + 1):
        tree = Tree(leaves[:size])
        root = b64encode(tree.root()).decode()
        for index in range(size):
            proof = [b64encode(h).decode() for h in tree.inclusion(index)]
            cases.append(["included", index, size, proof, b64encode(leaves[index]).decode(), root])
        for first in range(1, size + 1):
            proof = [b64encode(h).decode() for h in (tree.consistency(first) if first < size else [])]
            cases.append(["extended", first, size, proof, b64encode(tree.root(first)).decode(), root])
    page = visit(context, served)
    wrong = page.evaluate(
        """async (cases) => {
            const m = await import("/static/verify.js");
            const wrong = [];
            const holds = ([what, a, b, proof, x, root]) => what === "included"
                ? m.included(m.base64(x), a, b, proof.map(m.base64), m.base64(root))
                : m.extended(a, b, proof.map(m.base64), m.base64(x), m.base64(root));
            for (const c of cases) {
                if (!(await holds(c))) wrong.push(["refused", ...c]);
                const [what, a, b, proof, x, root] = c;
                const other = btoa(String.fromCharCode(...new Uint8Array(32).fill(255)));
                const broken = [
                    ...proof.map((_, i) => [what, a, b, proof.map((p, j) => (i === j ? other : p)), x, root]),
                    [what, a, b, [...proof, other], x, root],
                    [what, a, b, proof, x, other],
                    ...proof.slice(0, 1).map(() => [what, a, b, proof.slice(1), x, root]),
                    ...proof.slice(0, 1).map(() => [what, a, b, proof.slice(0, -1), x, root]),
                    [what, a, b, proof, other, root],
                    ...(what === "included" ? [[what, a, b * 4, proof, x, root]] : []),
                ];
                for (const lie of broken) if (await holds(lie)) wrong.push(["believed", ...lie]);
            }
            return wrong;
        }""",
        cases,
    )
    assert wrong == []
    assert len(cases) > 300


# -- a server that lies ------------------------------------------------------------------------------------------------


def test_an_entry_that_is_left_out_of_the_page_is_missed(context: BrowserContext, served: ServedLog) -> None:
    *most, last = served.shown
    served.shown, served.count = most, 5
    assert verdict(context, served) == "missing"
    served.shown, served.count = [*most[:3], last], 0
    assert verdict(context, served) == "missing"


def test_an_entry_that_is_left_out_of_the_log_is_found_by_whoever_saw_it(
    context: BrowserContext, served: ServedLog
) -> None:
    assert verdict(context, served) == "first"
    leaves = head_of(served)
    served.lies["checkpoint"] = lambda _: signed_head(served, (*leaves[:3], leaves[4], leaves[3]))
    assert verdict(context, served) == "forked"


@pytest.mark.parametrize("what", ["field", "leaf", "content", "salt", "proof", "other"])
def test_an_entry_that_was_changed_is_found(context: BrowserContext, served: ServedLog, what: str) -> None:
    expected = {"field": "shown", "leaf": "entry", "content": "content", "salt": "content", "proof": "entry",
                "other": "entry"}  # fmt: skip
    if what == "field":
        index, fields, signer = served.shown[3]
        served.shown[3] = (index, fields | {"targets": "person"}, signer)
    else:
        honest = LogView.of(served.log, served.keys, LATER)

        def lie(told: dict[str, Any]) -> dict[str, Any]:
            entry = told["entries"][3]
            assert entry["index"] == 3

            def changed_to(other: dict[str, Any]) -> dict[str, Any]:
                return {**told, "entries": [*told["entries"][:3], other, *told["entries"][4:]]}

            changed = {
                "leaf": entry["leaf"].replace('"kind":7', '"kind":9'),
                "content": (entry["content"] or "").replace('["lot"]', '["person"]'),
                "salt": "00" * 32,
                "proof": entry["proof"][::-1],
            }
            if what == "other":
                return changed_to(honest.entries(4, 1)["entries"][0])
            assert changed[what] != entry[what]
            return changed_to(entry | {what: changed[what]})

        served.lies["entries"] = lie
    assert verdict(context, served) == expected[what]


def test_two_heads_of_one_size_are_a_fork(context: BrowserContext, served: ServedLog) -> None:
    assert verdict(context, served) == "first"
    leaves = head_of(served)
    served.lies["checkpoint"] = lambda _: signed_head(served, (*leaves[:-1], b"another"))
    assert verdict(context, served) == "forked"


def test_a_longer_log_that_does_not_begin_with_the_one_seen_is_a_fork(
    context: BrowserContext, served: ServedLog
) -> None:
    assert verdict(context, served) == "first"
    leaves = head_of(served)
    forked = (b"another", *leaves[1:], b"one more")
    served.lies["checkpoint"] = lambda _: signed_head(served, forked)
    tree = Tree(leaf_hash(raw) for raw in forked)
    served.lies["consistency"] = lambda _: {"proof": [b64encode(h).decode() for h in tree.consistency(5)]}
    grow(served)
    assert verdict(context, served) == "forked"


def test_an_old_head_is_shown_to_be_older_than_the_one_seen(context: BrowserContext, served: ServedLog) -> None:
    old = LogView.of(served.log, served.keys, LATER).checkpoint()
    grow(served)
    assert verdict(context, served) == "first"
    served.lies["checkpoint"] = lambda _: old
    assert verdict(context, served) == "shorter"


def test_a_log_that_was_shortened_and_signed_again_is_found(context: BrowserContext, served: ServedLog) -> None:
    assert verdict(context, served) == "first"
    short = signed_head(served, head_of(served)[:4])
    served.lies["checkpoint"] = lambda _: short
    served.shown = served.shown[:4]
    assert verdict(context, served) == "shorter"


def test_another_key_than_the_one_of_the_first_visit_is_refused(context: BrowserContext, served: ServedLog) -> None:
    assert verdict(context, served) == "first"
    other = signed_head(served, head_of(served), Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
    served.lies["checkpoint"] = lambda _: other
    assert verdict(context, served) == "key"


LIES: dict[str, tuple[str, Answer]] = {
    "a signature that does not hold": ("head", lambda t: t | {"note": t["note"].replace("\n5\n", "\n6\n", 1)}),
    "no signature": ("head", lambda t: t | {"note": t["note"].split("\n\n")[0] + "\n\n"}),
    "two signatures": ("head", lambda t: t | {"note": t["note"] + t["note"].split("\n\n")[1]}),
    "the log of another agency": ("key", lambda t: t | {"origin": t["origin"].replace("A0003", "A0001")}),
    "a key of another name": ("key", lambda t: t | {"key": t["key"].replace("A0003", "A0001")}),
    "a key whose number is not its own": ("key", lambda t: t | {"key": t["key"][:-2] + "A="}),
    "nothing of use": ("unreadable", lambda t: {"origin": t["origin"]}),
}  # fmt: skip


@pytest.mark.parametrize(("expected", "lie"), LIES.values(), ids=LIES)
def test_a_head_that_is_not_one_is_refused_on_the_first_visit(
    context: BrowserContext, served: ServedLog, expected: str, lie: Answer
) -> None:
    served.lies["checkpoint"] = lie
    assert verdict(context, served) == expected
    served.lies.clear()
    assert verdict(context, served) == "first", "nothing was kept of a head that did not hold"


def of_the_signed(change: Callable[[dict[str, Any]], Any]) -> Answer:
    def lie(told: dict[str, Any]) -> dict[str, Any]:
        change(told["entries"][1])
        return told

    return lie


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        pytest.param("signature", lambda e: e.update(signed=None), id="the signature is not shown"),
        pytest.param("signature", lambda e: e["signed"].update(passkey=e["signed"]["signature"]), id="no passkey"),
        pytest.param("entry", lambda e: e["signed"].update(signature=e["signed"]["passkey"]), id="not behind it"),
        pytest.param(
            "content",
            lambda e: e["signed"]["signature"].update(
                content=e["signed"]["signature"]["content"].replace('"signature":"', '"signature":"A')
            ),
            id="another signature",
        ),
    ],
)
def test_a_signature_that_is_not_the_logs_own_is_found(
    context: BrowserContext, served: ServedLog, expected: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    served.lies["entries"] = of_the_signed(change)
    assert verdict(context, served) == expected


def test_an_instruction_that_nobody_signed_is_not_shown_as_signed(context: BrowserContext, served: ServedLog) -> None:
    index, fields, _ = served.shown[3]
    served.shown[3] = (index, fields, SoftPasskey().id)
    assert verdict(context, served) == "signature"


def test_every_byte_of_an_assertion_flipped_is_refused_by_the_script_too(
    context: BrowserContext, served: ServedLog
) -> None:
    page = visit(context, served)
    leaf = bytes(range(32))
    for passkey in map(SoftPasskey, Algorithm):
        found = page.evaluate(
            """async ([said, passkey, leaf]) => {
                const m = await import("/static/verify.js");
                const tried = (s) => m.asserted(s, passkey, m.unpadded(leaf)).catch(() => false);
                const told = { honest: await tried(said), flipped: 0, believed: [] };
                for (const part of ["authenticator_data", "client_data", "signature"]) {
                    const raw = m.unpadded(said[part]);
                    for (let i = 0; i < raw.length; i += 1) {
                        const other = raw.slice();
                        other[i] ^= 1;
                        told.flipped += 1;
                        if (await tried({ ...said, [part]: m.toUnpadded(other) })) told.believed.push([part, i]);
                    }
                }
                return told;
            }""",
            [passkey.assertion(leaf), passkey.enrolled().body(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"],
        )
        assert found["honest"] is True
        assert found["believed"] == []
        assert found["flipped"] > 200


def test_the_vectors_are_decided_by_the_script_as_by_the_ledger(context: BrowserContext, served: ServedLog) -> None:
    cases = json.loads((VECTORS / "webauthn-1" / "assertions.json").read_text())
    page = visit(context, served)
    found = page.evaluate(
        """async (cases) => {
            const m = await import("/static/verify.js");
            const holds = (c) => m.asserted(c.assertion, c.passkey, m.hex(c.leaf_hash)).catch(() => false);
            return Promise.all(cases.map(holds));
        }""",
        cases,
    )
    assert found == [c["holds"] for c in cases]
    assert len(cases) > 20


def test_every_code_that_the_scripts_can_say_has_words_in_both_languages_on_the_page() -> None:
    page = (STATIC.parents[2] / "docs" / "specs" / "browser-verification.md").read_text(encoding="utf-8")
    for begin, codes in (("## The page", CODES), ("## Signing", SIGN_CODES)):
        part = page[page.index(begin) :].split("\n## ")[0]
        rows = dict(re.findall(r"^\| (\w+) \| (.+ \| .+) \|$", part, re.MULTILINE))
        assert set(rows) - {"code"} == set(codes)
    scripts = "".join((STATIC / n).read_text(encoding="utf-8") for n in ("verify.js", "sign.js"))
    thrown = re.findall(r'must\(.*?, "(\w+)"(?:, \w+(?:\.\w+)?)?\);', scripts)
    assert set(thrown) <= {*CODES, *SIGN_CODES}
    assert len(thrown) > 10


def test_the_script_is_one_page_without_a_library_or_code_made_from_text() -> None:
    verify, sign = ((STATIC / n).read_text(encoding="utf-8") for n in ("verify.js", "sign.js"))
    assert len(verify.splitlines()) < 300
    assert len(sign.splitlines()) < 120
    for text in (verify, sign):
        assert "eval(" not in text
        assert "innerHTML" not in text
        assert max(len(line) for line in text.splitlines()) <= 120
    assert [line for line in verify.splitlines() if line.startswith("import")] == []
    assert [line.split(" from ")[1] for line in sign.splitlines() if line.startswith("import")] == ['"./verify.js";']
