"""The balance of a person in the books of the agency."""

from schemas.fields import Category, Field, Kind, Record, Scope

ACCOUNT = Record(
    "account",
    Scope.PROCESSOR,
    (
        Field("person_key", Kind.REF, Category.TECHNICAL, "Titulaire", "Holder", personal=True, nullable=False, target="person", required=True),
        Field("building_key", Kind.REF, Category.PROPERTY, "Immeuble", "Building", personal=True, target="building"),
        Field("number", Kind.TEXT, Category.FINANCIAL, "Numéro de compte", "Account number", personal=True, nullable=False),
        Field("balance", Kind.MONEY, Category.FINANCIAL, "Solde (débiteur positif)", "Balance (debtor positive)", personal=True, nullable=False),
        Field("as_of", Kind.DATE, Category.FINANCIAL, "Arrêté au", "As of", personal=True),
        Field("called_amount", Kind.MONEY, Category.FINANCIAL, "Montant appelé", "Called amount", personal=True),
        Field("due_date", Kind.DATE, Category.FINANCIAL, "Échéance", "Due date", personal=True),
    ),
)
