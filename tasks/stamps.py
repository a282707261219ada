"""Order among one source's requests about one row (DESIGN 6, "Order").

Whoever names a field stamps it with the signed time of the event. A field that the same source has
stamped later is left alone by an earlier request, however late that arrives.
"""

from collections.abc import Iterable
from datetime import datetime

from models.rows import Stamps

_SHARED = {"resolution_timestamp": "status", "resolved_at": "status", "sent_at": "delivery_status"}
"""Fields that only make sense together share one stamp."""

REPORT = "report"
"""No field, but stamped like one: the latest report of an incident under its dedup key."""


def text_of(time: datetime) -> str:
    """A time (UTC) as stamps and histories write it; the texts sort like the times."""
    return time.isoformat(timespec="microseconds")


def superseded_of(stamps: Stamps, source: str, fields: Iterable[str], time: datetime) -> list[str]:
    """Those of *fields* that *source* has stamped later than *time*."""
    own = stamps.get(source)
    if not own:
        return []
    moment = text_of(time)
    return [field for field in fields if own.get(_SHARED.get(field, field), moment) > moment]


def is_superseded(stamps: Stamps, source: str, field: str, time: datetime) -> bool:
    """Whether *source* has stamped *field* later than *time*."""
    return bool(superseded_of(stamps, source, (field,), time))


def stamp(stamps: Stamps, source: str, fields: Iterable[str], time: datetime) -> Stamps:
    """*stamps* with *fields* stamped by *source*; a later stamp stays."""
    own = dict(stamps.get(source, {}))
    now = text_of(time)
    for field in fields:
        name = _SHARED.get(field, field)
        own[name] = max(own.get(name, now), now)
    return {**stamps, source: own}
