"""Who signed a lease, and as what."""

from schemas.fields import Category, Field, Kind, Record, Scope

LEASE_PARTY = Record(
    "lease_party",
    Scope.PROCESSOR,
    (
        Field("lease_key", Kind.REF, Category.CONTRACT, "Bail", "Lease", personal=True, nullable=False, target="lease", required=True),
        Field("person_key", Kind.REF, Category.TECHNICAL, "Personne", "Person", personal=True, nullable=False, target="person", required=True),
        Field("quality", Kind.ENUM, Category.CONTRACT, "Qualité", "Quality", personal=True, nullable=False, values=("principal", "co_tenant", "guarantor")),
        Field("jointly_liable", Kind.BOOL, Category.CONTRACT, "Solidaire", "Jointly liable", personal=True),
        Field("start_date", Kind.DATE, Category.CONTRACT, "Début", "Start", personal=True),
        Field("end_date", Kind.DATE, Category.CONTRACT, "Fin", "End", personal=True),
    ),
)
