"""The gateway of an installation of `andon up`: its files, made once, and the port it gets.

Beside the settings stand ``gateway.toml`` and ``mapping.toml``, which are the user's to change;
``gateway.header``, the credential as curl takes it from a file; and ``alert.json``, to try it.
"""

import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from console.embedded.memory import write_private

_TEMPLATES = Path(__file__).parent / "sample" / "gateway"
_CONFIGURATION = """\
# The sources that the gateway lets in, with their credentials: docs/gateway.md. Read at its start.

[sources.{source}]
accepts = ["alertmanager", "grafana", "pagerduty", "cloudevents"]
mapping = "mapping.toml"
bearer = ["{token}"]
routing_keys = ["{routing_key}"]    # PagerDuty's
"""


def gateway_variables(
    place: Path, database_url: str, kept: Mapping[str, str | None]
) -> dict[str, str]:
    """What an installation settles for its gateway, as environment variables.

    Args:
        place: the installation's directory.
        database_url: PostgreSQL with the gateway's rights.
        kept: the variables of the last start; the port stays the same if nobody has taken it.
    """
    return {
        "ANDON_GATEWAY_FILE": str(place / "gateway.toml"),
        "ANDON_GATEWAY_PORT": str(_free_port(kept.get("ANDON_GATEWAY_PORT"))),
        "ANDON_GATEWAY_DATABASE_URL": database_url,
        "ANDON_GATEWAY_SPOOL": str(place / "gateway-spool.sqlite"),
    }


def make_gateway_files(place: Path, source: str) -> None:
    """Write the files that are missing; what is there stays as it is."""
    if not (place / "gateway.toml").exists():
        token = secrets.token_hex(24)
        configuration = _CONFIGURATION.format(
            source=_quoted(source), token=token, routing_key=secrets.token_hex(16)
        )
        write_private(place / "gateway.header", f"Authorization: Bearer {token}\n")
        write_private(place / "gateway.toml", configuration)
    for name in ("mapping.toml", "alert.json"):
        if not (place / name).exists():
            (place / name).write_text((_TEMPLATES / name).read_text())


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port(kept: str | None) -> int:
    """The port of the last start, or any: a fixed one would be what two first starts both take."""
    for port in (int(kept) if kept and kept.isdecimal() else 0, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as listening:
                return int(listening.getsockname()[1])
        except (OSError, OverflowError):  # somebody else has it, or there is no such port
            continue
    raise OSError("no port is free")
