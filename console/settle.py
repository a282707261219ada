"""`andon status --settle`: begin the sum anew after a loss, for a reason, and recorded."""

import json
from datetime import UTC, datetime

from console.accounts import Account, Observer
from console.failures import out_of_reach, wrong_usage
from console.output import screen
from models.audit import AuditEntry, write_audit
from models.operator import who_acts
from models.settlements import add_settlement
from policy.vocabulary import AuditAction

LONGEST_REASON = 1_000
SUBJECT = "account:intake"


def settle_account(
    asking: Observer, account: Account | None, *, reason: str | None, even_in_motion: bool
) -> None:
    """Give up what the sum lacks, or has too many, so that it comes out from here on.

    The audit records how many, who and where; the reason is free text, and stands beside.

    Raises:
        Failure: a service is out of reach, nothing counts what was accepted, requests are in
            motion, or no reason is given.
    """
    if account is None:
        raise out_of_reach("Nothing was settled: both services have to answer.")
    if account.missing is None:
        raise wrong_usage("On RabbitMQ nobody counts what was accepted: there is no sum to settle.")
    text = (reason or "").strip()
    if not text or len(text) > LONGEST_REASON or not text.isprintable():
        raise wrong_usage(f"--reason TEXT says why, in a line of at most {LONGEST_REASON:,}.")
    if account.missing == 0:
        screen().print("The sum comes out already; nothing was changed.")
        return
    if account.in_motion and not even_in_motion:
        raise wrong_usage(
            "Requests are in motion, so what is missing may be in somebody's hands. Ask again when"
            " they are decided, or add --even-in-motion."
        )
    who = who_acts()
    with asking.engine.begin() as connection:
        at = add_settlement(
            connection,
            entries=account.missing,
            reason=text,
            account=who["account"],
            host=who["host"],
        )
        entry = AuditEntry(
            at=datetime.now(UTC),
            action=AuditAction.APPROVE,
            outcome="settled",
            subject=SUBJECT,
            context={"entries": account.missing, **who},
        )
        write_audit(connection, asking.settings.current_audit_key(), [entry])
    many = abs(account.missing)
    what = "missing" if account.missing > 0 else "too many"
    screen().print(
        f"Settled at {at:%Y-%m-%d %H:%M:%S} UTC: {many:,} {what}. From here on the sum comes out,"
        f" or something new is amiss. Reason: {json.dumps(text)}",
        markup=False,
        soft_wrap=True,
    )
