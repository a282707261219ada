"""What an organisation may set about how requests are decided."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions depend on; the defaults are the policy's.

    Attributes:
        clients_may_report: client contacts may report for their own client (DESIGN 6, "Roles").
        ledger_retention: how long identities are kept, by whoever prunes. None: for ever.
        patience: how long a request waits for its report after everything that was accepted
            before it has been decided.
        longest_wait: after this time it waits for nothing else but the patience, though something
            that was accepted before it has never been decided.
        key_patience: how long, since its receipt, a message waits for its key, which the producer
            registry does not have: it may be there in a moment. Zero: not at all.
    """

    clients_may_report: bool = False
    ledger_retention: timedelta | None = None
    patience: timedelta = timedelta(seconds=60)
    key_patience: timedelta = timedelta(0)
    longest_wait: timedelta = timedelta(hours=24)
