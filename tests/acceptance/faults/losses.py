"""What a run loses as documented, when an older state of Redis or of PostgreSQL is put back.

docs/operating.md (Backups) says what that is: what came to Redis since the copy, or what PostgreSQL
decided since. Whoever published it publishes it again, and the account takes it into account:
an entry that may be lost proves nothing, but no request may be missing, or have two effects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.acceptance.faults.journal import Journal, Journalled, ReadJournal, read_journal
from tests.acceptance.faults.planning import Nature
from tests.acceptance.faults.producing import FORGED, client_for, publish
from tests.acceptance.faults.stage import Stage
from tests.support.requests import SECRET

_AT_ONCE = 500


def certain(stage: Stage, journal: ReadJournal) -> ReadJournal:
    """The journal, but an entry that may be lost is in doubt."""
    messages = {
        key: replace(message, entries=[e for e in message.entries if not stage.may_have_lost(e)])
        for key, message in journal.messages.items()
    }
    return replace(journal, messages=messages)


def publish_again(stage: Stage, journals: Sequence[Path]) -> int:
    """Publish what is certain to be nowhere any more, or of which that cannot be said; how much."""
    genuine, forger = (
        client_for(stage.broker.url, stage.broker.names, secret) for secret in (SECRET, FORGED)
    )
    count = 0
    for path in journals:
        doubtful = list(_doubtful(certain(stage, read_journal(path))))
        journal = Journal(path)
        for nature, client in ((None, genuine), (Nature.FORGED, forger)):
            of_it = [m for m in doubtful if (m.planned.nature is Nature.FORGED) == bool(nature)]
            signed = {m.planned.key: client.sign(m.event) for m in of_it}
            keys = list(signed)
            for start in range(0, len(keys), _AT_ONCE):
                publish(client, journal, keys[start : start + _AT_ONCE], signed)
            count += len(keys)
        journal.close()
    genuine.close()
    forger.close()
    return count


def _doubtful(journal: ReadJournal) -> Iterator[Journalled]:
    return (message for message in journal.messages.values() if not message.entries)
