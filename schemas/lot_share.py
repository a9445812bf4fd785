"""Shares of a lot in one apportionment key."""

from schemas.fields import Category, Field, Kind, Record, Scope

LOT_SHARE = Record(
    "lot_share",
    Scope.PROCESSOR,
    (
        Field("lot_key", Kind.REF, Category.PROPERTY, "Lot", "Lot", personal=False, nullable=False, target="lot", required=True),
        Field("share_code", Kind.TEXT, Category.PROPERTY, "Clé de répartition", "Share code", personal=False, nullable=False),
        Field("shares", Kind.INT, Category.PROPERTY, "Tantièmes", "Shares", personal=False),
        Field("base", Kind.INT, Category.PROPERTY, "Base", "Base", personal=False),
    ),
)
