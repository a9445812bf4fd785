"""A manager or administrator of the agency."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

STAFF = Record(
    "staff",
    Scope.PROCESSOR,
    (
        Field("login", Kind.TEXT, Category.PROFESSIONAL, "Identifiant dans le logiciel", "Login in the source software", personal=True, protection=Protection.ENCRYPT),
        Field("last_name", Kind.TEXT, Category.PROFESSIONAL, "Nom", "Last name", personal=True, protection=Protection.ENCRYPT, searchable=True),
        Field("first_names", Kind.TEXT, Category.PROFESSIONAL, "Prénoms", "First names", personal=True, protection=Protection.ENCRYPT),
        Field("email", Kind.TEXT, Category.PROFESSIONAL, "Courriel professionnel", "Work e-mail", personal=True, protection=Protection.ENCRYPT, searchable=True),
        Field("phone", Kind.TEXT, Category.PROFESSIONAL, "Téléphone professionnel", "Work phone", personal=True, protection=Protection.ENCRYPT, searchable=True),
        Field("function", Kind.TEXT, Category.PROFESSIONAL, "Fonction", "Function", personal=True),
        Field("is_administrator", Kind.BOOL, Category.PROFESSIONAL, "Administrateur", "Administrator", personal=True),
        Field("inactive_from", Kind.DATE, Category.PROFESSIONAL, "Inactif à partir du", "Inactive from", personal=True),
    ),
)
