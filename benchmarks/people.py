"""Invented people with a light mess: accents, phones, addresses, e-mails and accounts as agencies write them.

Nobody here exists: family names are put together from syllables, mail goes to `.test` (RFC 2606), phone numbers lie in
the ranges that ARCEP reserves for fiction or in blocks that are not given out, bank codes from 99990 on belong to no
bank, and every SIREN fails its own check digit.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.columns import Ints, Mask, either, joined, number, only, picked, texts

NATURAL, COUPLE, COMPANY, JOINT, ESTATE = range(5)
_KINDS = (0.87, 0.05, 0.05, 0.02, 0.01)

_STARTS = (
    "BEL", "CHÂ", "VAL", "MONT", "FON", "GRAN", "BRI", "SAU", "ROU", "TOUR", "LÉ", "MAR", "PRÉ", "BOIS", "CLAIR", "HAU",
    "PUY", "ROC", "VER", "NEU", "LAN", "GUÉ", "PER", "COR", "DES", "ÉPI", "FLO", "GAR", "JON", "KER",
)  # fmt: skip
_MIDDLES = ("LE", "TE", "RI", "DE", "MA", "VI", "SE", "NO", "LA", "ME", "GI", "PO", "RE", "BA", "ZE", "CO")
_ENDS = (
    "RIVE", "LOUP", "MONT", "VALLE", "BRUN", "FORT", "NIER", "TEAU", "CHET", "GNAC", "VEL", "QUIN", "DRAN", "LIN",
    "SSON", "THUR", "VOST", "RAND", "LLET", "DIEU", "ZAC", "BÈRE", "CÉ", "GNOL", "MUR",
)  # fmt: skip
_WOMEN = (
    "Zoé", "Léa", "Agnès", "Éléonore", "Inès", "Noémie", "Marie-Thérèse", "Hélène", "Fatou", "Jeanne", "Chloé",
    "Anaïs", "Béatrice", "Cécile", "Françoise", "Gaëlle", "Irène", "Joëlle", "Lucie", "Maëlys",
)  # fmt: skip
_MEN = (
    "Rémi", "François", "Mathéo", "Karim", "Jean-Noël", "Loïc", "Yves", "Thibault", "Ousmane", "Pierre", "André",
    "Benoît", "Cédric", "Étienne", "Gérard", "Hervé", "Joël", "Léo", "Michaël", "Raphaël",
)  # fmt: skip
_STREETS = (
    "RUE DU CHÂTEAU", "AVENUE DE LA RÉPUBLIQUE", "IMPASSE DU MOULIN", "ALLÉE DES CHÊNES", "PLACE DU MARCHÉ",
    "CHEMIN DE L'ÉCLUSE", "BOULEVARD SOLFÉRINO", "QUAI DES BRUMES", "COURS DE L'YSER", "RUE DES TILLEULS",
)  # fmt: skip
_COMPLEMENTS = ("BÂTIMENT B", "APPARTEMENT 12", "ENTRÉE C ESCALIER 2", "LES TERRASSES", "BAL 44", "BP 40012")
_PLACES = (
    ("01000", "BOURG-EN-BRESSE", "01053"), ("06400", "CANNES", "06029"), ("13008", "MARSEILLE", "13208"),
    ("20090", "AJACCIO", "2A004"), ("20200", "BASTIA", "2B033"), ("33220", "FOUGUEYROLLES", "24189"),
    ("35000", "RENNES", "35238"), ("42000", "SAINT-ÉTIENNE", "42218"), ("69003", "LYON", "69383"),
    ("75011", "PARIS", "75111"), ("59000", "LILLE", "59350"), ("44000", "NANTES", "44109"),
    ("67000", "STRASBOURG", "67482"), ("31000", "TOULOUSE", "31555"), ("97400", "SAINT-DENIS", "97411"),
)  # fmt: skip
_HOUSES = (
    "LE CLOS SAINT-RÉMY",
    "LES JARDINS D'ÉOLE",
    "VILLA HÉLÈNE",
    "LE CHÂTEAU D'EAU",
    "L'ORÉE DU PARC",
    "LE BELVÉDÈRE",
)
_FORMS = ("SCI", "SARL", "SAS", "EURL", "SNC")
_HOSTS = ("courriel.test", "exemple.test", "messagerie.test", "bureau.test", "COURRIEL.TEST")
# Reserved for fiction (ARCEP decision 2018-0881), five places each; and 06 00 0, of which no number is given out.
_FICTION = ("019900", "026191", "035301", "046571", "053649")
_NONE_GIVEN = ("néant", "NC", "aucun", "-")

LAST_NAMES: tuple[str, ...] = tuple(map("".join, product(_STARTS, _MIDDLES, _ENDS)))
FIRST_NAMES: tuple[str, ...] = (*_WOMEN, *_MEN)
_MOJIBAKE = 0.002


class Draw:
    """Random columns of one length."""

    def __init__(self, rng: np.random.Generator, length: int) -> None:
        self.rng, self.length = rng, length

    def below(self, end: int, start: int = 0) -> Ints:
        return self.rng.integers(start, end, self.length)

    def share(self, part: float) -> Mask:
        mask: Mask = self.rng.random(self.length) < part
        return mask

    def of(self, pool: tuple[str, ...]) -> pa.Array:
        return picked(pool, self.below(len(pool)))


@dataclass(frozen=True, slots=True)
class Address:
    """One address a row, in the parts that all four systems can write."""

    complement: pa.Array
    street: pa.Array
    postal_code: pa.Array
    city: pa.Array
    insee: pa.Array
    abroad: Mask


@dataclass(frozen=True, slots=True)
class People:
    """Columns of persons; `kind` is one of NATURAL … ESTATE, names are null where a kind has none."""

    kind: Ints
    woman: Mask
    last: pa.Array
    first: pa.Array
    partner: pa.Array
    birth_name: pa.Array
    company: pa.Array
    form: pa.Array
    siren: pa.Array
    email: pa.Array
    second_email: pa.Array
    mobile: pa.Array
    landline: pa.Array
    address: Address
    born: Ints
    has_birth_date: Mask
    consent: Ints
    iban: pa.Array
    bic: pa.Array

    def named(self) -> pa.Array:
        """`FAMILY Given`: the whole name in one field, as SDGI and others write it; the label of those who have no name."""
        whole = joined(self.last, self.first, between=" ")
        both = joined(self.last, " ", self.first, " et ", self.partner)
        label = either(self.kind == COUPLE, both, whole)
        label = either(self.kind == JOINT, joined("INDIVISION ", self.last), label)
        label = either(self.kind == ESTATE, joined("SUCCESSION ", self.last), label)
        return either(self.kind == COMPANY, self.company, label)


@cache
def _mailboxes() -> tuple[pa.Array, pa.Array]:
    """Family and given names as they stand in an address: small letters without accents."""
    return _plain(LAST_NAMES), _plain(FIRST_NAMES)


def _plain(names: tuple[str, ...]) -> pa.Array:
    apart = pc.utf8_normalize(pc.utf8_lower(texts(names)), "NFD")
    return pc.replace_substring_regex(apart, pattern=r"\p{Mn}", replacement="")


def people(rng: np.random.Generator, length: int) -> People:
    draw = Draw(rng, length)
    kind = rng.choice(5, length, p=_KINDS).astype(np.int64)
    woman = draw.share(0.5)
    last, first = draw.below(len(LAST_NAMES)), np.where(woman, draw.below(20), draw.below(40, 20))
    named = kind != COMPANY
    broken = draw.share(_MOJIBAKE)
    family, form = picked(LAST_NAMES, last), draw.of(_FORMS)
    family = either(broken, pc.replace_substring(family, "Â", "?"), family)
    return People(
        kind=kind,
        woman=woman,
        last=only(named, family),
        first=only((kind == NATURAL) | (kind == COUPLE), picked(FIRST_NAMES, first)),
        partner=only(kind == COUPLE, picked(FIRST_NAMES, draw.below(20))),
        birth_name=only((kind == NATURAL) & woman & draw.share(0.3), picked(LAST_NAMES, draw.below(len(LAST_NAMES)))),
        company=only(kind == COMPANY, joined(form, " ", draw.of(_HOUSES), " ", number(draw.below(9999)))),
        form=only(kind == COMPANY, form),
        siren=only(kind == COMPANY, sirens(draw)),
        email=_emails(draw, last, first),
        second_email=only(draw.share(0.1), joined("contact", number(draw.below(10**6)), "@bureau.test")),
        mobile=phones(draw),
        landline=only(draw.share(0.3), phones(draw)),
        address=addresses(draw),
        born=draw.below(13_000, -15_000),  # days since 1970: 1928 to 2005
        has_birth_date=(kind == NATURAL) & draw.share(0.7),
        consent=rng.choice(3, length, p=(0.5, 0.2, 0.3)).astype(np.int64),
        iban=_ibans(draw),
        bic=joined(_letters(draw, 4), "FRPP", only(draw.share(0.5), pa.repeat("XXX", length))),
    )


def _emails(draw: Draw, last: Ints, first: Ints) -> pa.Array:
    families, givens = _mailboxes()
    local = joined(picked(givens, first), ".", picked(families, last), number(draw.below(100)))
    address = joined(local, "@", draw.of(_HOSTS))
    address = either(draw.share(0.005), joined(local, ".messagerie.test"), address)  # no at sign: flagged
    address = either(draw.share(0.02), draw.of(_NONE_GIVEN), address)
    return only(draw.share(0.75), address)


def phones(draw: Draw) -> pa.Array:
    """Ten figures; a quarter of the persons have none."""
    unassigned = joined("06000", number(draw.below(10**5), 5))
    fiction = joined(draw.of(_FICTION), number(draw.below(10**4), 4))
    return only(draw.share(0.75), either(draw.share(0.6), unassigned, fiction))


def styled(draw: Draw, figures: pa.Array) -> pa.Array:
    """The same numbers as people write them; a few that cannot be read or are lists of two."""
    pairs = [pc.utf8_slice_codeunits(figures, at, at + 2) for at in range(0, 10, 2)]
    national = pc.utf8_slice_codeunits(figures, 1)
    forms = [
        figures,
        pc.binary_join_element_wise(*pairs, " "),
        pc.binary_join_element_wise(*pairs, "."),
        pc.binary_join_element_wise("+33 ", national, ""),
        pc.binary_join_element_wise("+33 (0)", national, ""),
        national,  # a spreadsheet took the zero: flagged
        pc.binary_join_element_wise(figures, "bureau", " "),
        pc.binary_join_element_wise(figures, "01 99 00 12 34", " ou "),
    ]
    style = draw.rng.choice(8, draw.length, p=(0.4, 0.2, 0.15, 0.14, 0.08, 0.01, 0.01, 0.01)).astype(np.int64)
    return pc.choose(pa.array(style), *forms)


def addresses(draw: Draw) -> Address:
    place = draw.below(len(_PLACES))
    abroad = draw.share(0.01)
    street = joined(number(draw.below(200, 1)), picked((" ", " BIS ", " TER "), draw.below(3)), draw.of(_STREETS))
    return Address(
        complement=only(draw.share(0.2), draw.of(_COMPLEMENTS)),
        street=street,
        postal_code=either(abroad, "1050", picked([p[0] for p in _PLACES], place)),
        city=either(abroad, "IXELLES", picked([p[1] for p in _PLACES], place)),
        insee=picked([p[2] for p in _PLACES], place),
        abroad=abroad,
    )


def houses(draw: Draw) -> pa.Array:
    """Names of buildings."""
    return joined("RÉSIDENCE ", draw.of(_HOUSES))


def sirens(draw: Draw) -> pa.Array:
    """Nine figures whose Luhn check fails."""
    stem = draw.below(10**8)
    total = np.zeros(draw.length, np.int64)
    for place in range(8):
        figure = stem // 10**place % 10
        doubled = figure * 2
        total += np.where(doubled > 9, doubled - 9, doubled) if place % 2 == 0 else figure
    return joined(number(stem, 8), number((1 - total) % 10))


def _letters(draw: Draw, count: int) -> pa.Array:
    letters = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return joined(*(draw.of(letters) for _ in range(count)))


def _ibans(draw: Draw) -> pa.Array:
    """French accounts (clé RIB and check figures right, all the same for a valid BBAN), some wrong, some in groups of four."""
    bank, branch, account = draw.below(100_000, 99_990), draw.below(100_000), draw.below(10**11)
    key = 97 - (89 * bank + 15 * branch + 3 * (account % 97)) % 97
    wrong = draw.share(0.01)
    key = np.where(wrong, key % 97 + 1, key)
    written = joined("FR76", number(bank, 5), number(branch, 5), number(account, 11), number(key, 2))
    grouped = pc.binary_join_element_wise(
        *(pc.utf8_slice_codeunits(written, at, min(at + 4, 27)) for at in range(0, 27, 4)), " "
    )
    written = either(draw.share(0.2), grouped, written)
    return only(draw.share(0.6), either(draw.share(0.02), pc.utf8_lower(written), written))
