"""A document and its audience (décret 2019-502)."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

DOCUMENT = Record(
    "document",
    Scope.PROCESSOR,
    (
        Field("kind", Kind.TEXT, Category.CONTRACT, "Type de document", "Document kind", personal=False),
        Field("label", Kind.TEXT, Category.CONTRACT, "Libellé", "Label", personal=True, protection=Protection.ENCRYPT),
        Field("document_date", Kind.DATE, Category.CONTRACT, "Date du document", "Document date", personal=False),
        Field("building_key", Kind.REF, Category.PROPERTY, "Immeuble", "Building", personal=False, target="building"),
        Field("person_key", Kind.REF, Category.TECHNICAL, "Personne", "Person", personal=True, target="person"),
        Field("audience", Kind.ENUM, Category.CONTRACT, "Audience", "Audience", personal=False, nullable=False, values=("all", "individual", "council")),
        Field("file_name", Kind.TEXT, Category.CONTRACT, "Nom de fichier", "File name", personal=True, protection=Protection.ENCRYPT),
        Field("sha256", Kind.TEXT, Category.TECHNICAL, "Empreinte SHA-256", "SHA-256 digest", personal=False),
    ),
)
