"""What the first page makes of what waits: each thing once, in a sentence."""

from portal.web.daily import gathered
from portal.web.rendering import breakable, sentence
from portal.web.wording import need, told


def test_systems_of_which_nothing_came_are_one_thing_and_a_refusal_tells_of_its_own() -> None:
    late = [{"code": "late", "system": s} for s in ("sdgi", "gpi", "login")]
    refused = {"code": "refused", "system": "gpi", "about": "gpi.truncated"}
    aside = {"code": "aside", "count": 2}
    found = gathered([refused, *late, aside])
    assert found == [refused, {"code": "late", "systems": ["sdgi", "login"]}, aside]
    assert need(found[1], "fr").startswith("Rien n'est venu de SDGI et LOGIN depuis")
    assert need(found[1], "en").startswith("Nothing came from SDGI and LOGIN for")
    assert need(late[0], "en").startswith("Nothing came from SDGI for")


def test_one_thing_that_waits_stays_as_it_is() -> None:
    assert gathered([{"code": "late", "system": "gpi"}]) == [{"code": "late", "systems": ["gpi"]}]
    assert gathered([]) == []


def test_a_sentence_keeps_its_abbreviations_and_a_name_is_broken_where_its_parts_meet() -> None:
    assert sentence("le document déclare un DOCTYPE") == "Le document déclare un DOCTYPE"
    assert sentence("") == ""
    assert breakable("person.last_name") == "person.<wbr>last_<wbr>name"
    assert breakable("<b>_x") == "&lt;b&gt;_<wbr>x"


def test_a_line_of_the_log_shows_no_digest() -> None:
    body = {"delivery": "D1", "sha256": "ab" * 32, "capability": "cd" * 32, "system": "gpi", "outcome": "accepted"}
    assert [f[0] for f in told({"kind": "receipt", "body": body}, "fr")] == ["system", "delivery", "outcome"]
