"""Who owns which lot, with which right."""

from schemas.fields import Category, Field, Kind, Record, Scope

CO_OWNERSHIP = Record(
    "co_ownership",
    Scope.PROCESSOR,
    (
        Field("lot_key", Kind.REF, Category.PROPERTY, "Lot", "Lot", personal=True, nullable=False, target="lot", required=True),
        Field("person_key", Kind.REF, Category.TECHNICAL, "Copropriétaire", "Co-owner", personal=True, nullable=False, target="person", required=True),
        Field("right", Kind.ENUM, Category.PROPERTY, "Droit", "Right", personal=True, nullable=False, values=("full", "usufruct", "bare", "joint", "unknown")),
        Field("start_date", Kind.DATE, Category.PROPERTY, "Début", "Start", personal=True),
        Field("end_date", Kind.DATE, Category.PROPERTY, "Fin", "End", personal=True),
    ),
)
