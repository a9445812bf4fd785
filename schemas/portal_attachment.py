"""An account attached to a record of an agency (R9)."""

from schemas.fields import Category, Field, Kind, Record, Scope

PORTAL_ATTACHMENT = Record(
    "portal_attachment",
    Scope.CONTROLLER,
    (
        Field("account_id", Kind.TEXT, Category.TECHNICAL, "Compte", "Account", personal=True, nullable=False),
        Field("agency_code", Kind.TEXT, Category.TECHNICAL, "Code agence", "Agency code", personal=True, nullable=False),
        Field("person_system", Kind.ENUM, Category.TECHNICAL, "Système de la fiche rattachée", "System of the attached person", personal=True, nullable=False, values=("spilasuite", "sdgi", "gpi", "login")),
        Field("person_key", Kind.TEXT, Category.TECHNICAL, "Clé de la fiche rattachée", "Key of the attached person", personal=True, nullable=False),
        Field("attached_at", Kind.DATETIME, Category.TECHNICAL, "Rattaché le", "Attached at", personal=True, nullable=False),
    ),
    ends=False,
)
