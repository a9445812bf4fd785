"""A member of a group, a spouse, a representative … (canonical §1)."""

from schemas.fields import Category, Field, Kind, Record, Scope

PERSON_LINK = Record(
    "person_link",
    Scope.PROCESSOR,
    (
        Field("group_key", Kind.REF, Category.TECHNICAL, "Groupe ou personne représentée", "Group or represented person", personal=True, nullable=False, target="person", required=True),
        Field("member_key", Kind.REF, Category.TECHNICAL, "Membre", "Member", personal=True, nullable=False, target="person", required=True),
        Field("kind", Kind.ENUM, Category.IDENTITY, "Nature du lien", "Kind of link", personal=True, nullable=False, values=("joint_owner", "usufructuary", "bare_owner", "spouse", "representative", "guardian", "common_agent")),
        Field("share_num", Kind.INT, Category.PROPERTY, "Quote-part, numérateur", "Share, numerator", personal=True),
        Field("share_den", Kind.INT, Category.PROPERTY, "Quote-part, dénominateur", "Share, denominator", personal=True),
    ),
)
