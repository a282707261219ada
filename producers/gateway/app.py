"""The gateway as a Starlette application: its paths, and how each says what went wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.outcomes import Identity
from policy.halts import InputError
from producers.faults import PublishFailed
from producers.gateway.admission import Overloaded, Place
from producers.gateway.alerts import AlertFormat, PayloadFaults
from producers.gateway.answers import (
    RETRY_AFTER,
    Health,
    PagerDutyAnswer,
    answer,
    pagerduty_refusal,
    refusal,
)
from producers.gateway.authentication import Caller, Refused
from producers.gateway.bodies import BodyRefused, read_body
from producers.gateway.cloudevents import NotCloudEvents, read_cloudevents
from producers.gateway.configuration import Format
from producers.gateway.door import NoRoom
from producers.gateway.formats.pagerduty import read_event
from producers.gateway.formats.readers import READERS
from producers.gateway.gateway import Gateway, NoKey
from producers.gateway.openapi import openapi
from producers.gateway.receipts import ReceiptsUnavailable
from producers.signed import NotPublishable

_LATER = {"Retry-After": RETRY_AFTER}
_CLOSE = {"Connection": "close"}
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="andon", Basic realm="andon", charset="UTF-8"'}
_RECEIPTS = "/v1/requests/"
_CHECK_SECONDS = 2.0
_LONGEST = 255
"""Characters of a source, and of an id."""

Endpoint = Callable[[Gateway, Request, Place], Awaitable[Response]]
Refuse = Callable[[int, str], Response]


def make_app(gateway: Gateway) -> Starlette:
    """The application; the gateway's outlet is open while it runs."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        with gateway.outlet, gateway.clock:
            yield
        if gateway.receipts is not None:
            gateway.receipts.close()
        gateway.log.close()

    def route(path: str, endpoint: Endpoint, refuse: Refuse = _refuse) -> Route:
        async def run(request: Request) -> Response:
            return await _answered(gateway, request, endpoint, refuse)

        return Route(path, run, methods=["POST"])

    async def receipt(request: Request) -> Response:
        return await _receipt(gateway, request)

    async def ready(_request: Request) -> Response:
        return await _ready(gateway)

    app = Starlette(
        routes=[
            route("/v1/alertmanager", _alertmanager),
            route("/v1/grafana", _grafana),
            route("/v2/enqueue", _enqueue, refuse=_refuse_as_pagerduty),
            route("/v1/events", _events),
            Route(_RECEIPTS + "{rest:path}", receipt, methods=["GET"]),
            Route("/healthz", _health, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/openapi.json", _contract, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _bug},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a sender would not follow with its body
    return app


async def _answered(
    gateway: Gateway, request: Request, endpoint: Endpoint, refuse: Refuse
) -> Response:
    """What *endpoint* answers, or what kept it from answering, in the words of its senders."""
    try:
        with gateway.admission.admitted(request.state.connection) as place:
            return await endpoint(gateway, request, place)
    except _NotLetIn as error:
        return error.response
    except BodyRefused as error:
        response = refuse(error.status, str(error))
        response.headers.update(_CLOSE)
        return response
    except NotPublishable as error:
        return refuse(413, f"Nothing was taken: {error}.")
    except (Overloaded, PublishFailed, NoKey) as error:
        if isinstance(error, NoKey):
            gateway.log.count(f"nothing can be signed: {error}")
        response = refuse(503, _unavailable(error))
        response.headers.update(_LATER)
        return response


def _unavailable(error: Exception) -> str:
    """Nothing of where the intake is, or which keys there are, goes out to senders."""
    match error:
        case NoKey():
            return "The gateway has no key for this source now. Send it again later."
        case _:
            return "The intake cannot take it now. Send it again later."


def _refuse(status: int, message: str) -> Response:
    return refusal(status, message)


def _refuse_as_pagerduty(status: int, message: str) -> Response:
    word = "throttle exceeded" if status == 503 else "invalid event"
    return pagerduty_refusal(status, word, message, [message])


class _NotLetIn(Exception):
    """Who asks is unknown, or may not do this."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def _unknown(refused: Refused) -> Response:
    return refusal(401, refused.message, headers={**_CHALLENGE, **_CLOSE})


def _let_in(found: Caller | Refused, wanted: Format, place: Place) -> Caller:
    """Who asks, if they may send this; then the request and its connection are proven.

    Raises:
        _NotLetIn: they may not, or we do not know them.
        Overloaded: too many that are known have something under way.
    """
    if isinstance(found, Refused):
        raise _NotLetIn(_unknown(found))
    if wanted not in found.source.accepts:
        message = f"The source {found.name} may not send {wanted} here."
        raise _NotLetIn(refusal(403, message, headers=_CLOSE))
    place.prove()
    return found


def _faulty(errors: tuple[InputError, ...], message: str, status: int = 400) -> Response:
    return refusal(status, message, [(error.path, error.message) for error in errors])


async def _alertmanager(gateway: Gateway, request: Request, place: Place) -> Response:
    found = gateway.authentication.by_header(request.headers)
    caller = _let_in(found, Format.ALERTMANAGER, place)
    body = await read_body(request, place)
    return await _take_alerts(gateway, caller, AlertFormat.ALERTMANAGER, body)


async def _grafana(gateway: Gateway, request: Request, place: Place) -> Response:
    """A credential in a header is looked at first; a signature can be only with the body."""
    authentication = gateway.authentication
    if "authorization" in request.headers:
        caller = _let_in(authentication.by_header(request.headers), Format.GRAFANA, place)
        body = await read_body(request, place)
    else:
        body = await read_body(request, place)
        found = authentication.by_signature(request.headers, body)
        caller = _let_in(found, Format.GRAFANA, place)
    return await _take_alerts(gateway, caller, AlertFormat.GRAFANA, body)


async def _take_alerts(
    gateway: Gateway, caller: Caller, format_: AlertFormat, body: bytes
) -> Response:
    try:
        alerts = READERS[format_](body, received_at=gateway.times.next())
    except PayloadFaults as error:
        return _faulty(
            error.errors, f"The payload is not as {format_} sends it: nothing was taken."
        )
    return answer(await gateway.take_alerts(caller, alerts), 202)


async def _enqueue(gateway: Gateway, request: Request, place: Place) -> Response:
    """PagerDuty's own way: the key is in the body, and every refusal in PagerDuty's words."""
    body = await read_body(request, place)
    try:
        enqueued = read_event(body)
        caller = gateway.authentication.by_routing_key(enqueued.routing_key.get_secret_value())
        if isinstance(caller, Refused) or Format.PAGERDUTY not in caller.source.accepts:
            return _invalid_event("routing_key is none that this gateway knows")
        place.prove()
        alert = enqueued.alert(received_at=gateway.times.next())
    except PayloadFaults as error:
        return _invalid_event(*(_in_words(fault) for fault in error.errors))
    await gateway.take_alerts(caller, [alert])
    return answer(
        PagerDutyAnswer(status="success", message="Event processed", dedup_key=alert.key), 202
    )


def _invalid_event(*errors: str) -> Response:
    return pagerduty_refusal(400, "invalid event", "Event object is invalid", errors)


def _in_words(fault: InputError) -> str:
    """PagerDuty names the field at the beginning of its sentence."""
    field = fault.path.removeprefix("$").removeprefix(".")
    return f"{field} {fault.message}" if field else f"the event {fault.message}"


async def _events(gateway: Gateway, request: Request, place: Place) -> Response:
    found = gateway.authentication.by_header(request.headers)
    caller = _let_in(found, Format.CLOUDEVENTS, place)
    body = await read_body(request, place)
    try:
        readable = read_cloudevents(
            request.headers, body, source=caller.name, now=gateway.clock.now
        )
    except NotCloudEvents as error:
        return _faulty(error.errors, str(error), error.status)
    return answer(await gateway.take_events(caller, readable), 202)


async def _receipt(gateway: Gateway, request: Request) -> Response:
    """Takes no place from what is sent: receipts have a bound of their own."""
    found = gateway.authentication.by_header(request.headers)
    if isinstance(found, Refused):
        return _unknown(found)
    identity = _identity(request)
    if identity is None:
        return refusal(404, f"A receipt is at {_RECEIPTS}SOURCE/ID, both percent-encoded.")
    if identity.source != found.name:
        return refusal(403, "A source reads its own receipts alone.")
    if gateway.receipts is None:
        return refusal(501, "This gateway has no database to read receipts from.")
    try:
        request.state.connection.prove()
        return answer(await gateway.receipts.read(identity))
    except (NoRoom, ReceiptsUnavailable) as error:
        gateway.log.count(f"receipts not read: {error}")
        return refusal(503, "Receipts cannot be read now. Ask again later.", headers=_LATER)


def _identity(request: Request) -> Identity | None:
    """Source and id as the path has them, where a slash within one is percent-encoded."""
    raw = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    parts = [unquote(part) for part in raw[len(_RECEIPTS) :].split("/")]
    if len(parts) != 2 or not all(0 < len(part) <= _LONGEST and "\0" not in part for part in parts):
        return None
    return Identity(*parts)


async def _health(_request: Request) -> Response:
    """That the process answers: nothing else is asked, however much is under way."""
    return answer(Health(status="ok"))


async def _ready(gateway: Gateway) -> Response:
    """Whether a call would be taken now; asked for no place, and once for all who ask."""
    try:
        await gateway.outlet.check(within=_CHECK_SECONDS)
    except (PublishFailed, TimeoutError):
        message = "The intake cannot be reached, or is full."
        return answer(Health(status="not ready", message=message), 503, _LATER)
    return answer(Health(status="ready"))


async def _contract(_request: Request) -> Response:
    return answer(openapi())


async def _http_error(_request: Request, error: Exception) -> Response:
    """No such path, or no such method of it."""
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: /openapi.json says what is taken at which path."
    return refusal(error.status_code, message, headers=error.headers)


async def _bug(_request: Request, _error: Exception) -> Response:
    """Starlette raises it again behind the answer, so that it is logged with its place."""
    return refusal(500, "A fault of the gateway. Send it again later.")
