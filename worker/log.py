"""Logging: one line an event, with an ``event`` name and fields, as text or as JSON."""

import logging
import sys

import structlog
from typing_extensions import override

from models.database import is_unverified
from worker.settings import GatewaySettings

_OURS = ("console", "migrations", "models", "policy", "producers", "tasks", "worker")
"""Whose debug lines are written if they are asked for: those of Celery, kombu, amqp and others
quote messages, arguments and passwords."""
_QUIET = ("celery.app.trace", "celery.worker.strategy", "kombu", "amqp")
"""Loggers that write a line a task; Andon's requests are not Celery's tasks."""
_QUOTING = ("celery.worker.consumer.consumer", "celery.worker.strategy")
"""Loggers that quote a message whole, its body or its arguments, when they cannot take it."""
_CONNECTING = ("celery.worker.consumer.consumer", "celery.worker.consumer.connection")
"""Loggers that say each time that the broker is away, and that it is there again."""
_LONGEST_NAME = 64


def warn_of_database(url: str) -> None:
    """Say that PostgreSQL, on another machine, need not prove who it is."""
    if is_unverified(url):
        structlog.get_logger(__name__).warning(
            "database_not_verified", advice="add ?sslmode=verify-full to its URL: docs/rights.md"
        )


def configure_logging(settings: GatewaySettings) -> None:
    """Send everything, Celery's own lines too, to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(level, logging.INFO))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).addFilter(_WITHOUT_BODY)
    for name in _CONNECTING:
        logging.getLogger(name).addFilter(_ONCE_AN_OUTAGE)


class WithoutBody(logging.Filter):
    """Cuts what Celery says of a message that it cannot take down to what happened.

    It would quote the message, and a request's titles and names have no place in a log.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without what it quotes."""
        if _quotes_a_message(record):
            error = next((each for each in _arguments(record) if isinstance(each, Exception)), None)
            what = str(record.msg).strip().partition("%")[0].partition("\n")[0].rstrip(" :")
            record.msg = "%s (%s; what it holds is not logged)"
            record.args = (what, _kind(error))
            record.exc_info = record.exc_text = record.stack_info = None
        return True


_WITHOUT_BODY = WithoutBody()


class OnceAnOutage(logging.Filter):
    """Lets Celery say once that it cannot connect to the broker, until it can again."""

    def __init__(self) -> None:
        super().__init__()
        self._away = False

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what has been said of this outage already."""
        said, text = self._away, str(record.msg)
        if "Connected to" in text:
            self._away = False
        elif "Cannot connect to" in text:
            self._away = True
            return not said
        return True


_ONCE_AN_OUTAGE = OnceAnOutage()


def _quotes_a_message(record: logging.LogRecord) -> bool:
    return "message body" in str(record.msg) or "Task: %" in str(record.msg)


def _arguments(record: logging.LogRecord) -> tuple[object, ...]:
    return record.args if isinstance(record.args, tuple) else ()


def _kind(error: Exception | None) -> str:
    """What kind of error; of a task that is not registered, its name."""
    match error:
        case None:
            return "no task"
        case KeyError(args=[str(name)]):
            return f"task {name[:_LONGEST_NAME]!r}"
        case _:
            return type(error).__name__
