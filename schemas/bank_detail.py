"""Bank details of a person; a flagged IBAN must not be offered for payment (N9)."""

from schemas.fields import Category, Field, Kind, Protection, Record, Scope

BANK_DETAIL = Record(
    "bank_detail",
    Scope.PROCESSOR,
    (
        Field("person_key", Kind.REF, Category.TECHNICAL, "Titulaire", "Holder", personal=True, nullable=False, target="person", required=True),
        Field("iban", Kind.TEXT, Category.FINANCIAL, "IBAN", "IBAN", personal=True, protection=Protection.ENCRYPT),
        Field("bic", Kind.TEXT, Category.FINANCIAL, "BIC", "BIC", personal=True),
        Field("mandate_reference", Kind.TEXT, Category.FINANCIAL, "Référence unique de mandat", "SEPA mandate reference", personal=True, protection=Protection.ENCRYPT),
        Field("signed_on", Kind.DATE, Category.FINANCIAL, "Signé le", "Signed on", personal=True),
    ),
)
