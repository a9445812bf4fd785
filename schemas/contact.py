"""One e-mail or phone of a person (canonical §1, N6, N8)."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

CONTACT = Record(
    "contact",
    Scope.PROCESSOR,
    (
        Field("person_key", Kind.REF, Category.TECHNICAL, "Personne", "Person", personal=True, nullable=False, target="person", required=True),
        Field("kind", Kind.ENUM, Category.CONTACT, "Nature du contact", "Kind of contact", personal=True, nullable=False, values=("email", "phone")),
        Field("rank", Kind.INT, Category.TECHNICAL, "Rang", "Rank", personal=False, nullable=False),
        Field("value", Kind.TEXT, Category.CONTACT, "Valeur normalisée", "Normalised value", personal=True, protection=Protection.ENCRYPT, searchable=True),
        Field("value_raw", Kind.TEXT, Category.CONTACT, "Valeur reçue", "Value as received", personal=True, nullable=False, protection=Protection.ENCRYPT),
    ),
)
