"""A rental mandate given by a landlord (canonical table `mandate`); what an agency allows us is `schemas.mandate`."""

from schemas.fields import Category, Field, Kind, Record, Scope

MANDATE = Record(
    "mandate",
    Scope.PROCESSOR,
    (
        Field("register_number", Kind.TEXT, Category.CONTRACT, "Numéro au registre des mandats", "Register number", personal=False),
        Field("landlord_key", Kind.REF, Category.TECHNICAL, "Bailleur", "Landlord", personal=True, target="person"),
        Field("start_date", Kind.DATE, Category.CONTRACT, "Début", "Start", personal=True),
        Field("end_date", Kind.DATE, Category.CONTRACT, "Fin", "End", personal=True),
        Field("fee_rate", Kind.DECIMAL2, Category.CONTRACT, "Taux d'honoraires en %", "Fee rate in %", personal=True),
        Field("manager_key", Kind.REF, Category.PROFESSIONAL, "Gestionnaire", "Manager", personal=True, target="staff"),
    ),
)
