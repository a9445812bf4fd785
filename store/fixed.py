"""What a delivery would come to, were the same one read again (docs/decisions/0018-unchanged-deliveries.md).

What is kept of a delivery follows from its bytes, its day, what is held, what is allowed, and the code. When one left
what is held as it was, or was the first and nothing in it looks at more than itself, the same bytes come to the same
again as long as all of these are so. A proof says that they are: a digest under the agency's key, of which its flow
keeps the digest. Nobody without the agency's keys can make one, and whoever reads the flow cannot either.
"""

import json
from collections import Counter
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.admission import Excess
from schemas.capability import Capability
from schemas.frames import Arrived, Reading
from schemas.report import Report
from store.batch import Batch
from store.sealing import Keyed, framed

_FORMAT = "fixed point/1"
# A birth of which the two figures of a year are told is of the century that does not put it behind the day of delivery
# (canonical N10): one of 1926, read before its day in 2026.
_CENTURY = date(2000, 1, 1)


def prove(keys: Keyed, arrived: Arrived, capability: Capability, code: str, generation: int) -> bytes:
    """The proof for what arrived. `code`: all that reads and keeps it. Raises ValueError for what has no likeness."""
    if arrived.likeness is None:
        raise ValueError("no two deliveries of this kind are compared")
    said = (_FORMAT, arrived.system, arrived.likeness, arrived.layout, code, capability.authority, str(generation))
    return keys(framed(*said))


def is_fixed(batch: Batch, d: int, report: Report, ended: Counter[str], first: bool) -> bool:
    """Whether delivery d, once more and alone, would leave everything as it is now. `first`: no delivery of its flow
    came before.

    It changed nothing: then neither does it again. Or nothing was held: then every line finds itself, and refers to
    what came with it; unless a line fell or something ended, which the next time is judged by what is held by now.
    """
    ends = batch.endings.filter(pa.array(batch.d[batch.endings["line"].to_numpy()] == d))
    mandate = batch.shelves[d].warrant.capability.mandate
    if any(counts.stored for counts in report.tables.values()) or +ended:
        alone = not (len(ends) or report.quarantined or (mandate is not None and mandate.rows_closed))
        return first and alone
    # What was put aside of an erased person is forgotten by the next erasure; an end without a day is of each new day.
    again = pc.equal(ends["reason"], "EFFACEMENT")
    undated = pc.and_(pc.equal(ends["reason"], "DOUBLON"), pc.is_null(ends["on"]))
    return not pc.any(pc.or_(again, undated)).as_py()


def until(reading: Reading, d: int) -> date | None:
    """The first day on which the bytes of delivery d may read otherwise; None when there is none: the day on which
    somebody who was born less than a hundred years before the delivery, and before 2000, is a hundred."""
    persons = reading.rows.get("person")
    if persons is None or "birth_date" not in persons.column_names:
        return None
    line_d = np.empty(len(reading.lines), np.int64)
    line_d[reading.lines["line"].to_numpy()] = reading.lines["d"].to_numpy()
    born = persons["birth_date"].filter(pa.array(line_d[persons["line"].to_numpy()] == d))
    day = reading.deliveries[d].day
    young = pc.and_(pc.greater(born, pa.scalar(_plus(day, -100))), pc.less(born, pa.scalar(_CENTURY)))
    oldest = pc.min(born.filter(young)).as_py()
    return None if oldest is None else _plus(oldest, 100)


def _plus(day: date, years: int) -> date:
    """The same day some years later; a 29 February that there is not is the 28th."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def said(excess: Excess) -> str | None:
    """What a delivery held beyond the instructions, as it is kept."""
    return json.dumps({"lines": dict(excess.lines), "values": dict(excess.values)}) if excess else None


def heard(text: str | None) -> Excess:
    return Excess(**json.loads(text)) if text else Excess({}, {})
