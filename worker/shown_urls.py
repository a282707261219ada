"""URLs as they may be shown: without whatever may be a password."""

import re
from urllib.parse import parse_qsl

HIDDEN = "***"

_SCHEME = re.compile(r"[a-z][a-z0-9+]{0,31}")
_USER = re.compile(r"[\w.%+-]*")
_PLACE = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[\w.,-]*)(?P<port>:\d+)?(?P<path>/[\w.%/-]*)?")
_QUERY = re.compile(r"[\w.%/,=&:+-]*")
_HARMLESS = frozenset(("host", "port", "sslmode"))


def without_password(url: str) -> str:
    """A URL that may be shown, be it well-formed or not.

    Only parts are shown that can be nothing else than what they seem: an unencoded password may
    hold any character, and moves the borders of all the others. Where that leaves a doubt, nothing
    but the scheme is shown; of the query, nothing unless every item of it is harmless.
    """
    scheme, found, rest = url.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):
        return HIDDEN
    login, at, tail = rest.rpartition("@")
    if "?" in login:  # then the @ may stand in a password, or in the query
        return f"{scheme}://{HIDDEN}"
    address, question, query = tail.partition("?")
    place = _PLACE.fullmatch(address)
    if place is None or (place["port"] and not place["host"]):
        return f"{scheme}://{HIDDEN}"
    return f"{scheme}://{_login(login) if at else ''}{address}{_query(query) if question else ''}"


def _login(login: str) -> str:
    user, colon, _ = login.partition(":")
    known = colon and _USER.fullmatch(user)
    return f"{user}:{HIDDEN}@" if known else f"{HIDDEN}@"


def _query(query: str) -> str:
    items = parse_qsl(query, keep_blank_values=True)
    harmless = _QUERY.fullmatch(query) and {name for name, _ in items} <= _HARMLESS
    return f"?{query}" if harmless else f"?{HIDDEN}"
