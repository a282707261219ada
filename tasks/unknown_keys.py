"""Messages whose key the producer registry does not have: never, or not yet.

A registry may reach one machine later than another, or be saved just now, and a producer that has a
new key does not wait for that. So such a message waits for a little, in the broker: it takes no
place in a process, and nothing that is urgent comes after it. Then it halts as unauthenticated.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from models.deliveries import Delivery
from models.registry import RegistryFile, may_be_key_id
from tasks.rules import Rules

LOOK_AGAIN = 1.0
"""Seconds after which a key is looked for again, while few messages wait for one."""
FEW = 50
"""Of a batch. More are looked at once again, when their patience is over."""
_CLOCKS_DIFFER = timedelta(seconds=0.5)


def without_key(
    deliveries: Sequence[Delivery],
    file: RegistryFile,
    rules: Rules,
    *,
    clock: Callable[[], datetime],
) -> list[Delivery]:
    """Those of *deliveries* that wait for their key.

    While the registry's file is at fault nobody can tell whether it has the key, so a message waits
    until that is over. Not for what can be no key's id.
    """
    if not rules.key_patience:
        return []
    ids = filter(may_be_key_id, file.in_force().unknown_keys({each.key_id for each in deliveries}))
    to_come = frozenset(ids)
    unknown = [each for each in deliveries if each.key_id in to_come] if to_come else []
    if not unknown or file.fault is not None:
        return unknown
    now = clock()
    return [each for each in unknown if _is_early(each, rules.key_patience, now)]


def seconds_to_wait(number: int, rules: Rules) -> float:
    """For how long *number* messages of one batch are set aside."""
    patience = rules.key_patience.total_seconds()
    return patience if number > FEW else min(patience, LOOK_AGAIN)


def with_key(deliveries: Sequence[Delivery], file: RegistryFile) -> list[Delivery]:
    """Those of *deliveries* that can be decided for certain, also while the file is at fault."""
    if file.fault is None:
        return list(deliveries)
    registry = file.in_force()
    return [each for each in deliveries if registry.owner_of(each.key_id) is not None]


def _is_early(delivery: Delivery, patience: timedelta, now: datetime) -> bool:
    """Whether it was received just now.

    What was set aside before was not: its producer has stated a time that is still to come.
    """
    age = now - delivery.received_at
    return age < patience and not (delivery.set_aside and age < _CLOCKS_DIFFER)
