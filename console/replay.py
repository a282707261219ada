"""`andon halts replay`: publish a halted request again, unedited, to be decided anew."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from console.database import database
from console.discard import lock_unsettled
from console.exchange import Exchange
from console.exchange_shown import Timeout, Wait, run_exchange
from console.failures import wrong_usage
from console.intake import publisher_of
from console.output import LAST_NUMBER, visible
from console.request_lines import Line
from models.audit import AuditKey, write_audit
from models.clock import database_now
from models.registry import Registry, load_registry
from models.replays import KeptRequest, begin_replay, operators_record
from models.signatures import verify
from models.streams import Lane
from policy.vocabulary import AuditAction
from producers.signed import SignedEvent
from worker.settings import load_settings


def replay(
    halt_id: Annotated[int, typer.Argument(min=1, max=LAST_NUMBER, help="The halt's number.")],
    wait: Wait = False,
    timeout: Timeout = 60.0,
) -> None:
    """Publish the request of a halt again, as it came, once what halted it has been put right.

    It keeps its identity and its signature, and is decided anew. Until then the halt is shown as
    replaying; if publishing fails, the command can be repeated.
    """
    settings = load_settings()
    with database(settings.database_url.get_secret_value()) as engine, engine.begin() as connection:
        halted = _approve(
            connection,
            halt_id,
            settings.current_audit_key(),
            load_registry(settings.producers_file),
        )
    signed = SignedEvent(halted.identity, halted.event, halted.key_id, halted.signature)
    with publisher_of(settings) as publisher:
        run_exchange(
            Exchange(publisher, Lane.URGENT),
            iter([Line(signed, body=b"")]),
            timeout=timeout if wait else None,
        )


def _approve(
    connection: Connection, halt_id: int, key: AuditKey, registry: Registry
) -> KeptRequest:
    """Note in one transaction that the halt is replayed, and that somebody wanted it.

    Raises:
        Failure: the halt does not exist, is settled, was not kept whole, or its request could not
            prove any more who sent it.
    """
    (halted,) = lock_unsettled(connection, [halt_id])
    if not halted.is_whole:
        raise wrong_usage(
            f"Halt {halt_id} cannot be replayed: of its message's {halted.event_bytes:,} bytes"
            f" the first {len(halted.event):,} were kept."
        )
    if obstacle := _unprovable(halted, registry):
        raise wrong_usage(f"Halt {halt_id} cannot be replayed: {obstacle}")
    now = database_now(connection)
    state = begin_replay(connection, halted, now=now)
    write_audit(connection, key, [operators_record(halted, AuditAction.APPROVE, state, now=now)])
    return halted


def _unprovable(halted: KeptRequest, registry: Registry) -> str | None:
    """Why the request could not prove who sent it; it would halt again, as another message.

    Of a message that could not prove it when it came, only the key is asked for: the worker tells
    what else is wrong with it.
    """
    owner = registry.owner_of(halted.key_id)
    if owner is None:
        return (
            f"its key {visible(halted.key_id)!r} is not in the producer registry. Put the key back,"
            " or have the request sent again, and discard the halt."
        )
    if halted.identity is None:
        return None
    name, secret = owner
    if name == halted.identity.source and verify(halted.event, halted.signature, secret):
        return None
    return (
        f"its key {visible(halted.key_id)!r} is not the key any more that it was signed with. Have"
        " the request sent again, and discard the halt."
    )
