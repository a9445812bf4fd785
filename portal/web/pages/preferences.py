"""How somebody wants to be told: at once, in a digest, or not at all. Where every letter's last link leads."""

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.words import marked as _
from schemas.access import Question

PACES = {
    "now": (_("At once"), _("One message when something happens. Deliveries that arrive well are not told.")),
    "daily": (_("Each morning"), _("One message at 7 a.m., when something happened, deliveries included.")),
    "weekly": (_("On Mondays"), _("One message at 7 a.m. on Monday, when something happened, deliveries included.")),
    "never": (_("Nothing"), _("No message. What waits for you is on the overview, as always.")),
}


@PAGES.get("/preferences", Question.PREFERENCES)
def shown(visit: Here, saved: str = "") -> Response:
    return visit.show("preferences.html", paces=PACES, saved=saved == "yes", **visit.ask(Question.PREFERENCES))


@PAGES.post("/preferences", Question.PREFER)
def prefer(visit: Here) -> Response:
    visit.ask(Question.PREFER, pace=visit.filled("pace"))
    return visit.go("/preferences?saved=yes")
