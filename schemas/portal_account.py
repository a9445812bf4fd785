"""The account a person opened on the portal: controller scope, from the portal alone (R7, R40)."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

PORTAL_ACCOUNT = Record(
    "portal_account",
    Scope.CONTROLLER,
    (
        Field("account_id", Kind.TEXT, Category.TECHNICAL, "Identifiant interne du compte", "Internal account id", personal=True, nullable=False),
        Field("login", Kind.TEXT, Category.IDENTITY, "Identifiant", "Login", personal=True, nullable=False, protection=Protection.ENCRYPT, searchable=True),
        Field("email", Kind.TEXT, Category.CONTACT, "Courriel du compte", "Account e-mail", personal=True, nullable=False, protection=Protection.ENCRYPT, searchable=True),
        Field("created_at", Kind.DATETIME, Category.TECHNICAL, "Créé le", "Created at", personal=True, nullable=False),
        Field("last_login_at", Kind.DATETIME, Category.TECHNICAL, "Dernière connexion", "Last login", personal=True),
        Field("closed_at", Kind.DATETIME, Category.TECHNICAL, "Fermé le", "Closed at", personal=True),
    ),
    ends=False,
)
