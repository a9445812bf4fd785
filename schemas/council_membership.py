"""A seat in the council of co-owners."""

from schemas.fields import Category, Field, Kind, Record, Scope

COUNCIL_MEMBERSHIP = Record(
    "council_membership",
    Scope.PROCESSOR,
    (
        Field("person_key", Kind.REF, Category.TECHNICAL, "Membre", "Member", personal=True, nullable=False, target="person", required=True),
        Field("building_key", Kind.REF, Category.PROPERTY, "Immeuble", "Building", personal=True, nullable=False, target="building", required=True),
        Field("function", Kind.TEXT, Category.PROFESSIONAL, "Fonction au conseil syndical", "Function in the council", personal=True),
        Field("start_date", Kind.DATE, Category.PROFESSIONAL, "Début", "Start", personal=True),
        Field("end_date", Kind.DATE, Category.PROFESSIONAL, "Fin", "End", personal=True),
    ),
)
