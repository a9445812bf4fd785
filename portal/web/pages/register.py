"""The register of processing (GDPR 30(2)) and the certificates of erasure: to read, and to take away."""

import re
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from portal.web.download import streamed
from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import NotThere, Question

Size = Annotated[int, Query(ge=0, lt=2**53)]
KINDS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
}


@PAGES.get("/a/{agency}/audit/register", Question.REGISTER)
def register(visit: Here, agency: str, page: Annotated[int, Query(ge=1, le=10_000)] = 1) -> Response:
    found = visit.ask(Question.REGISTER, agency=agency, language=visit.language, page=page)
    return visit.show("register.html", formats=tuple(KINDS), **found)


@PAGES.get("/a/{agency}/audit/register/{form}", Question.REGISTER_FILE)
def register_file(visit: Here, agency: str, form: str) -> Response:
    said = visit.ask(Question.REGISTER_FILE, agency=agency, format=form[:10], language=visit.language)
    return streamed(lambda _: said, f"{agency}-register.{form}", KINDS[form])


@PAGES.get("/a/{agency}/audit/certificates", Question.CERTIFICATES)
def certificates(visit: Here, agency: str, before: Size = 0) -> Response:
    found = visit.ask(Question.CERTIFICATES, agency=agency, before=before)
    return visit.show("certificates.html", before=before, **found)


@PAGES.get("/a/{agency}/audit/certificates/{number}", Question.CERTIFICATE)
def certificate(visit: Here, agency: str, number: str) -> Response:
    return visit.show("certificate.html", c=visit.ask(Question.CERTIFICATE, agency=agency, number=_number(number)))


@PAGES.get("/a/{agency}/audit/certificates/{number}/file", Question.CERTIFICATE_FILE)
def certificate_file(visit: Here, agency: str, number: str) -> Response:
    said = visit.ask(Question.CERTIFICATE_FILE, agency=agency, number=_number(number))
    return streamed(lambda _: said, said["name"], "application/json")


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise NotThere("there is no such page")
    return int(text)
