"""A building that the agency manages, with what its co-ownership adds."""

from schemas.fields import Category, Field, Kind, Record, Scope

BUILDING = Record(
    "building",
    Scope.PROCESSOR,
    (
        Field("code", Kind.TEXT, Category.PROPERTY, "Code immeuble", "Building code", personal=False, nullable=False),
        Field("name", Kind.TEXT, Category.PROPERTY, "Nom", "Name", personal=False),
        Field("registry_number", Kind.TEXT, Category.PROPERTY, "Immatriculation au registre des copropriétés", "Co-ownership registry number", personal=False),
        Field("siret", Kind.TEXT, Category.PROPERTY, "SIRET du syndicat", "SIRET of the co-ownership", personal=False),
        Field("address_4", Kind.TEXT, Category.PROPERTY, "Voie (ligne AFNOR 4)", "Street (AFNOR line 4)", personal=False),
        Field("postal_code", Kind.TEXT, Category.PROPERTY, "Code postal", "Postal code", personal=False),
        Field("city", Kind.TEXT, Category.PROPERTY, "Localité", "City", personal=False),
        Field("insee_code", Kind.TEXT, Category.PROPERTY, "Code INSEE de la commune", "INSEE municipality code", personal=False),
        Field("is_syndic", Kind.BOOL, Category.PROPERTY, "Géré en syndic", "Managed as syndic", personal=False),
        Field("is_rental", Kind.BOOL, Category.PROPERTY, "Géré en gérance", "Managed for rental", personal=False),
        Field("manager_key", Kind.REF, Category.PROFESSIONAL, "Gestionnaire", "Manager", personal=True, target="staff"),
    ),
)
