"""A lot under a mandate."""

from schemas.fields import Category, Field, Kind, Record, Scope

MANDATE_LOT = Record(
    "mandate_lot",
    Scope.PROCESSOR,
    (
        Field("mandate_key", Kind.REF, Category.CONTRACT, "Mandat", "Mandate", personal=False, nullable=False, target="mandate", required=True),
        Field("lot_key", Kind.REF, Category.PROPERTY, "Lot", "Lot", personal=False, nullable=False, target="lot", required=True),
    ),
)
