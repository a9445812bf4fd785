"""A lot of a building."""

from schemas.fields import Category, Field, Kind, Record, Scope

LOT = Record(
    "lot",
    Scope.PROCESSOR,
    (
        Field("building_key", Kind.REF, Category.PROPERTY, "Immeuble", "Building", personal=False, nullable=False, target="building", required=True),
        Field("number", Kind.TEXT, Category.PROPERTY, "Numéro de lot", "Lot number", personal=False, nullable=False),
        Field("nature", Kind.TEXT, Category.PROPERTY, "Nature", "Nature", personal=False),
        Field("block", Kind.TEXT, Category.PROPERTY, "Bâtiment", "Block", personal=False),
        Field("staircase", Kind.TEXT, Category.PROPERTY, "Escalier", "Staircase", personal=False),
        Field("floor", Kind.TEXT, Category.PROPERTY, "Étage", "Floor", personal=False),
        Field("door", Kind.TEXT, Category.PROPERTY, "Porte", "Door", personal=False),
        Field("area_m2", Kind.DECIMAL2, Category.PROPERTY, "Surface en m²", "Area in m²", personal=False),
    ),
)
