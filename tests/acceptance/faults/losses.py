"""What a run loses as documented, when an older state of Redis or of PostgreSQL is put back.

docs/operating.md (Backups) says what that is: what came to Redis since the copy, or what PostgreSQL
decided since. Whoever published it publishes it again, and the account takes it into account:
an entry that may be lost proves nothing, but no request may be missing, or have two effects.
"""

from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from models.outcomes import Identity
from tests.acceptance.faults.journal import Journal, Journalled, ReadJournal, read_journal
from tests.acceptance.faults.planning import Nature
from tests.acceptance.faults.producing import FORGED, client_for, publish
from tests.acceptance.faults.stage import Stage
from tests.support.requests import SECRET, SOURCE

_AT_ONCE = 500


def certain(stage: Stage, journal: ReadJournal) -> ReadJournal:
    """The journal, but an entry that may be lost is in doubt."""
    messages = {
        key: replace(message, entries=[e for e in message.entries if not stage.may_have_lost(e)])
        for key, message in journal.messages.items()
    }
    return replace(journal, messages=messages)


def publish_again(stage: Stage, journals: Sequence[Path]) -> int:
    """Publish what may be nowhere any more, and what has no outcome; how much that is.

    Of a request that had waited nothing but its outcome may be lost.
    """
    told = {outcome.identity for outcome in stage.outcomes()}
    count = 0
    with ExitStack() as cleaning:
        genuine, forger = (
            cleaning.enter_context(client_for(stage.broker.url, stage.broker.names, secret))
            for secret in (SECRET, FORGED)
        )
        for path in journals:
            doubtful = list(_doubtful(certain(stage, read_journal(path)), told))
            journal = cleaning.enter_context(closing(Journal(path)))
            for nature, client in ((None, genuine), (Nature.FORGED, forger)):
                of_it = [m for m in doubtful if (m.planned.nature is Nature.FORGED) == bool(nature)]
                signed = {m.planned.key: client.sign(m.event) for m in of_it}
                keys = list(signed)
                for start in range(0, len(keys), _AT_ONCE):
                    publish(client, journal, keys[start : start + _AT_ONCE], signed)
                count += len(keys)
    return count


def _doubtful(journal: ReadJournal, told: Container[Identity | None]) -> Iterator[Journalled]:
    for message in journal.messages.values():
        planned = message.planned
        is_untold = planned.nature is Nature.GENUINE and Identity(SOURCE, planned.id) not in told
        if is_untold or not message.entries:
            yield message
