"""A lease of a lot."""

from schemas.fields import Category, Field, Kind, Record, Scope

LEASE = Record(
    "lease",
    Scope.PROCESSOR,
    (
        Field("lot_key", Kind.REF, Category.CONTRACT, "Lot", "Lot", personal=False, nullable=False, target="lot", required=True),
        Field("mandate_key", Kind.REF, Category.CONTRACT, "Mandat", "Mandate", personal=False, target="mandate"),
        Field("lease_type", Kind.TEXT, Category.CONTRACT, "Type de bail", "Lease type", personal=False),
        Field("start_date", Kind.DATE, Category.CONTRACT, "Date d'effet", "Start", personal=True),
        Field("end_date", Kind.DATE, Category.CONTRACT, "Date de fin", "End", personal=True),
        Field("rent", Kind.MONEY, Category.FINANCIAL, "Loyer hors charges", "Rent without charges", personal=True),
        Field("charges", Kind.MONEY, Category.FINANCIAL, "Provision pour charges", "Charges", personal=True),
        Field("deposit", Kind.MONEY, Category.FINANCIAL, "Dépôt de garantie", "Deposit", personal=True),
    ),
)
