"""A natural or legal person, or a group, as one agency knows it (R41, R42)."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

PERSON = Record(
    "person",
    Scope.PROCESSOR,
    (
        Field("kind", Kind.ENUM, Category.IDENTITY, "Nature de la personne", "Kind of person", personal=True, nullable=False, values=("natural", "legal", "group")),
        Field("title_raw", Kind.TEXT, Category.IDENTITY, "Civilité telle que reçue", "Title as received", personal=True),
        Field("title", Kind.ENUM, Category.IDENTITY, "Civilité normalisée", "Normalised title", personal=True, values=("M", "MME", "M_MME", "COMPANY", "JOINT_OWNERS", "ESTATE", "OTHER")),
        Field("last_name", Kind.TEXT, Category.IDENTITY, "Nom", "Last name", personal=True, protection=Protection.ENCRYPT, searchable=True),
        Field("birth_name", Kind.TEXT, Category.IDENTITY, "Nom de naissance", "Birth name", personal=True, protection=Protection.ENCRYPT),
        Field("first_names", Kind.TEXT, Category.IDENTITY, "Prénoms", "First names", personal=True, protection=Protection.ENCRYPT),
        Field("company_name", Kind.TEXT, Category.IDENTITY, "Raison sociale", "Company name", personal=True, protection=Protection.ENCRYPT),
        Field("legal_form", Kind.TEXT, Category.IDENTITY, "Forme juridique", "Legal form", personal=True),
        Field("siren", Kind.TEXT, Category.IDENTITY, "Numéro SIREN", "SIREN number", personal=True),
        Field("label_raw", Kind.TEXT, Category.IDENTITY, "Libellé tel que reçu", "Name as received", personal=True, protection=Protection.ENCRYPT),
        Field("birth_date", Kind.DATE, Category.IDENTITY, "Date de naissance", "Birth date", personal=True, protection=Protection.ENCRYPT),
        Field("birth_place", Kind.TEXT, Category.IDENTITY, "Lieu de naissance", "Birth place", personal=True, protection=Protection.ENCRYPT),
        Field("address_1", Kind.TEXT, Category.LOCATION, "Adresse, ligne AFNOR 2", "Address, AFNOR line 2", personal=True, protection=Protection.ENCRYPT),
        Field("address_2", Kind.TEXT, Category.LOCATION, "Adresse, ligne AFNOR 3", "Address, AFNOR line 3", personal=True, protection=Protection.ENCRYPT),
        Field("address_3", Kind.TEXT, Category.LOCATION, "Adresse, ligne AFNOR 4 (voie)", "Address, AFNOR line 4 (street)", personal=True, protection=Protection.ENCRYPT),
        Field("address_4", Kind.TEXT, Category.LOCATION, "Adresse, ligne AFNOR 5", "Address, AFNOR line 5", personal=True, protection=Protection.ENCRYPT),
        Field("postal_code", Kind.TEXT, Category.LOCATION, "Code postal", "Postal code", personal=True),
        Field("city", Kind.TEXT, Category.LOCATION, "Localité", "City", personal=True),
        Field("country", Kind.TEXT, Category.LOCATION, "Pays (ISO 3166-1 alpha-2)", "Country (ISO 3166-1 alpha-2)", personal=True),
        Field("digital_consent", Kind.BOOL, Category.CONTACT, "Accord de dématérialisation", "Consent to electronic mail", personal=True),
        Field("merged_into", Kind.REF, Category.TECHNICAL, "Fiche remplaçante", "Surviving person", personal=True, target="person"),
    ),
)
