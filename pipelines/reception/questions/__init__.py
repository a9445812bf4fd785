"""The answers, by subject. A question of `schemas.access` without an answer here is refused, and a test tells of it."""

from pipelines.reception.desk import Answers
from pipelines.reception.questions import (
    acting,
    audit,
    documents,
    evidence,
    home,
    inviting,
    keys,
    lineage,
    log,
    own,
    password,
    preferences,
    provider,
    quarantine,
    register,
    requests,
    signing_in,
)

ANSWERS: Answers = {
    **signing_in.ANSWERS,
    **provider.ANSWERS,
    **inviting.ANSWERS,
    **own.ANSWERS,
    **password.ANSWERS,
    **preferences.ANSWERS,
    **home.ANSWERS,
    **log.ANSWERS,
    **audit.ANSWERS,
    **lineage.ANSWERS,
    **register.ANSWERS,
    **evidence.ANSWERS,
    **acting.ANSWERS,
    **keys.ANSWERS,
    **quarantine.ANSWERS,
    **documents.ANSWERS,
    **requests.ANSWERS,
}
