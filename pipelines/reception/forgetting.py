"""What the web door keeps of an agency goes with the agency: notices that wait, programmes that are told, requests."""

from collections.abc import Collection, Mapping

from pipelines.notices import post_office
from pipelines.reception import requests
from pipelines.reception.vault import Vault
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import Root


def forget(home: Home, root: Root, agency: AgencyCode) -> Mapping[str, int]:
    """Again is the same as once. Returns how many of each kind there were."""
    return {"notices": post_office.forget(home, root, agency), "requests": requests.forget(home, root, agency)}


def marks(home: Home, root: Root, agencies: Collection[AgencyCode]) -> Mapping[AgencyCode, str]:
    """What the web door calls these agencies: for whoever searches what is left of them."""
    if not home.reception_key.exists():
        return {}
    vault = Vault.of(home, root)
    return {a: vault.mark("agency", a) for a in agencies}
