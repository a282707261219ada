"""The gateway behind its paths: from alerts and events of a known source to what was taken."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from models.outcomes import Identity
from models.registry import Key, RegistryError, RegistryFile
from producers.clock import SharedClock
from producers.gateway.admission import Admission
from producers.gateway.alerts import Alert
from producers.gateway.answers import Accepted, Taken
from producers.gateway.authentication import Authentication, Caller
from producers.gateway.cloudevents import Readable
from producers.gateway.configuration import GatewayFile, GatewayFileError
from producers.gateway.counted_log import CountedLog
from producers.gateway.mapping import AlertMapping, MappingFaults
from producers.gateway.mapping_file import load_mapping
from producers.gateway.publishing import Outlet
from producers.gateway.receipts import Receipts
from producers.gateway.translate import translate
from producers.signed import SignedEvent, sign_event, signed_anew
from producers.times import Times

_log = logging.getLogger(__name__)


class NoKey(Exception):
    """The producer registry has no key to sign a source's requests with, now."""


@dataclass(slots=True)
class Gateway:
    """Everything that the paths need.

    Attributes:
        registry: which keys the sources sign with, read again when its file changes.
        receipts: None where the gateway has no database to read them from.
        mappings: of those sources that send alerts, by their names.
        log: for what may go wrong with every call.
        clock: what time it is, for all gateways alike.
        times: when alerts were taken, by that clock; after it was put back, too, what resolves an
            alert is later than what acknowledged it.
    """

    file: GatewayFile
    registry: RegistryFile
    outlet: Outlet
    receipts: Receipts | None
    mappings: Mapping[str, AlertMapping]
    admission: Admission = field(default_factory=Admission)
    log: CountedLog = field(default_factory=lambda: CountedLog(_log, "Calls"))
    clock: SharedClock = field(default_factory=SharedClock)
    times: Times = field(init=False)
    authentication: Authentication = field(init=False)

    def __post_init__(self) -> None:
        self.authentication = Authentication(self.file, lambda: self.clock.now().timestamp())
        self.times = Times(self.clock.now)

    def key_of(self, caller: Caller) -> Key:
        """The key that the source signs with: the one configured, or the newest.

        Raises:
            NoKey: the registry has none, or cannot be read.
        """
        return signing_key(self.registry, caller.name, caller.source.key)

    async def take_alerts(self, caller: Caller, alerts: Sequence[Alert]) -> Accepted:
        """Publish what *alerts* are mapped to.

        Raises:
            NoKey: nothing can be signed for the source.
            NotPublishable: an alert makes too large an event.
            PublishFailed: not all of it was taken.
        """
        key = self.key_of(caller)
        mapping = self.mappings[caller.name]
        taken: list[Taken] = []
        events: list[SignedEvent] = []
        for alert in alerts:
            request = translate(alert, mapping, source=caller.name)
            identity = Identity(caller.name, request.event_id)
            events.append(_signed(request.event(caller.name), key, identity))
            taken.append(_taken(identity, request.procedure))
        return await self._publish(caller, events, taken)

    async def take_events(self, caller: Caller, readable: Sequence[Readable]) -> Accepted:
        """Publish CloudEvents as they are.

        Raises:
            NoKey: nothing can be signed for the source.
            NotPublishable: an event is too large.
            PublishFailed: not all of it was taken.
        """
        key = self.key_of(caller)
        events = [_signed(each.event, key, each.identity) for each in readable]
        taken = [_taken(each.identity, each.procedure) for each in readable]
        return await self._publish(caller, events, taken)

    async def _publish(
        self, caller: Caller, events: list[SignedEvent], taken: list[Taken]
    ) -> Accepted:
        is_spooled = await self.outlet.publish(events, may_spool=caller.source.spools)
        return Accepted(status="spooled" if is_spooled else "accepted", requests=taken)


def signing_key(registry: RegistryFile, source: str, wanted: str | None) -> Key:
    """The key *wanted* of a source, or its newest.

    Raises:
        NoKey: the registry has none, or cannot be read.
    """
    try:
        known = registry.current().sources.get(source)
    except RegistryError as error:
        raise NoKey(str(error)) from None
    keys = [key for key in (known.keys if known else ()) if wanted in (None, key.id)]
    if not keys:
        which = "no key" if wanted is None else f"no key {wanted}"
        raise NoKey(f"{registry.path} has {which} of the source {source}")
    return keys[-1]


def sign_spooled(registry: RegistryFile, file: GatewayFile, event: SignedEvent) -> SignedEvent:
    """*event* as its source signs now; as it is, where the source is gone or has no key."""
    source = None if event.identity is None else event.identity.source
    if source is None or source not in file.sources:
        return event
    try:
        key = signing_key(registry, source, file.sources[source].key)
    except NoKey:
        return event
    return signed_anew(event, source=source, key_id=key.id, secret=key.secret.get_secret_value())


def load_mappings(file: GatewayFile, directory: Path) -> dict[str, AlertMapping]:
    """The mapping of every source that sends alerts.

    Args:
        file: the configuration.
        directory: where it stands, and mapping files beside it.

    Raises:
        GatewayFileError: naming every fault of every mapping.
    """
    mappings: dict[str, AlertMapping] = {}
    faults = []
    for name, source in file.sources.items():
        if source.mapping is not None:
            try:
                mappings[name] = load_mapping(directory / source.mapping)
            except MappingFaults as error:
                faults.append(str(error))
    if faults:
        raise GatewayFileError("\n".join(dict.fromkeys(faults)))
    return mappings


def _signed(event: bytes, key: Key, identity: Identity) -> SignedEvent:
    return sign_event(event, key_id=key.id, secret=key.secret.get_secret_value(), identity=identity)


def _taken(identity: Identity, procedure: str) -> Taken:
    return Taken(
        source=identity.source,
        id=identity.id,
        procedure=procedure,
        receipt=f"/v1/requests/{quote(identity.source, safe='')}/{quote(identity.id, safe='')}",
    )
