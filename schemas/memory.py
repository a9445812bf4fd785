"""What the store must remember between deliveries although no canonical column holds it. Never exported.

A memory row is owned by a source line like any other row, sealed like any other row, and goes when that line's data
goes.
"""

from schemas.fields import Category, Field, Kind, Record, Scope

# login.md "Objects and deltas": Coproprietaire, Bailleur and Locataire are roles; they give the person behind a
# reference.
ROLE = Record(
    "role",
    Scope.PROCESSOR,
    (
        Field("person_key", Kind.REF, Category.TECHNICAL, "Personne du rôle", "Person of the role", personal=True, nullable=False, target="person", required=True),
        Field("building_key", Kind.REF, Category.TECHNICAL, "Immeuble du rôle", "Building of the role", personal=True, target="building", required=True),
    ),
    exported=False,
    serves=("person", "co_ownership", "council_membership", "mandate", "lease_party", "account"),
)

# spilasuite.md v_copropriete: owns no row, gives columns to its building, and later deliveries refer to it.
COPROPRIETE = Record(
    "copropriete",
    Scope.PROCESSOR,
    (
        Field("building_key", Kind.REF, Category.PROPERTY, "Immeuble", "Building", personal=False, nullable=False, target="building", required=True),
        Field("registry_number", Kind.TEXT, Category.PROPERTY, "N° d'immatriculation", "Registry number", personal=False),
        Field("siret", Kind.TEXT, Category.PROPERTY, "SIRET", "SIRET", personal=False),
        Field("manager_key", Kind.REF, Category.PROFESSIONAL, "Gestionnaire", "Manager", personal=True, target="staff"),
    ),
    exported=False,
    serves=("building", "council_membership", "document"),
)

# gpi.md "Keys": the right on every lot of an owner comes from the owner's record 20 as last accepted.
HOLDING = Record(
    "holding",
    Scope.PROCESSOR,
    (
        Field("right", Kind.ENUM, Category.PROPERTY, "Droit", "Right", personal=True, nullable=False, values=("full", "usufruct", "bare", "joint", "unknown")),
    ),
    exported=False,
    serves=("co_ownership",),
)

# login.md Compte: `montant` or `sens` may come alone in a delta; the sign of a zero balance is nowhere else.
SENSE = Record(
    "sense",
    Scope.PROCESSOR,
    (
        Field("sense", Kind.ENUM, Category.FINANCIAL, "Sens du solde", "Sign of the balance", personal=True, nullable=False, values=("D", "C")),
    ),
    exported=False,
    serves=("account",),
)

# Columns that the store fills from a memory after the lines of a delivery are known: (record, column) -> (memory,
# column).
DERIVED: dict[tuple[str, str, str], tuple[str, str]] = {
    ("spilasuite", "building", "registry_number"): ("copropriete", "registry_number"),
    ("spilasuite", "building", "siret"): ("copropriete", "siret"),
    ("spilasuite", "building", "manager_key"): ("copropriete", "manager_key"),
    ("gpi", "co_ownership", "right"): ("holding", "right"),
}

# A reference given by way of a memory: the row carries `via:<column>`, the store looks the memory up and takes its
# column.
VIA: dict[tuple[str, str], tuple[str, str]] = {
    ("login", "person_key"): ("role", "person_key"),
    ("login", "landlord_key"): ("role", "person_key"),
    ("spilasuite", "building_key"): ("copropriete", "building_key"),
}
