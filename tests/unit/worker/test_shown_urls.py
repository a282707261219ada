"""`without_password`: what is shown of a URL never holds a password, however it was written."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.shown_urls import without_password

MARK = "SECRET"
passwords = st.text().map(lambda text: f"{MARK}{text}{MARK}")
inner_marks = st.text(st.sampled_from("a:/@?#&=%[]. \\")).map(lambda text: f"{MARK}{text}{MARK}")
schemes = st.sampled_from(["postgresql+psycopg", "postgresql", "redis", "rediss", "amqp", "amqps"])
hosts = st.sampled_from(["db", "db:5432", "127.0.0.1:6379", "[::1]:5432", "", "a.b,c.d"])
paths = st.sampled_from(["", "/", "/0", "/andon", "/%2Fandon", "/andon?host=/tmp/x&port=5432"])


@given(
    schemes,
    st.sampled_from(["", "u", "andon_worker", "a%40b"]),
    passwords | inner_marks,
    hosts,
    paths,
)
def test_no_password_before_the_host_is_shown(
    scheme: str, user: str, password: str, host: str, path: str
) -> None:
    """As it is or percent-encoded, with a host or without, with every character there is."""
    for written in (password, quote(password, safe="")):
        assert MARK not in without_password(f"{scheme}://{user}:{written}@{host}{path}")


@given(schemes, st.sampled_from(["", "me@", "me:SECRET@"]), passwords | inner_marks, hosts)
def test_no_password_in_the_query_is_shown(
    scheme: str, login: str, password: str, host: str
) -> None:
    """Under whatever name, beside whatever else."""
    for written in (password, quote(password, safe="")):
        for query in (
            f"password={written}",
            f"user=u&password={written}",
            f"host=h&PASSWORD={written}&port=5",
            f"sslpassword={written}&sslmode=require",
            f"pass%77ord={written}",
            f"port=1;password={written}",
        ):
            assert MARK not in without_password(f"{scheme}://{login}{host}/andon?{query}")


@given(schemes, (passwords | inner_marks).map(lambda password: password.replace("@", "")))
def test_no_password_is_shown_where_the_host_is_missing(scheme: str, password: str) -> None:
    """A URL that nobody could use."""
    assert MARK not in without_password(f"{scheme}://:{password}")
    assert MARK not in without_password(f"{password}://{password}@")


@given(st.text())
def test_anything_may_be_shown(text: str) -> None:
    """Whatever stands in a setting, showing it raises nothing."""
    without_password(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql+psycopg://u:SECRE/TPW@host:5432/db",
            "postgresql+psycopg://u:***@host:5432/db",
        ),
        ("postgresql://host/db?user=u&password=SECRETPW", "postgresql://host/db?***"),
        ("redis://:se/cret@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        ("redis://default:pw@127.0.0.1:6379/0", "redis://default:***@127.0.0.1:6379/0"),
        ("redis://secret@127.0.0.1", "redis://***@127.0.0.1"),
        (
            "postgresql+psycopg://u:pw@/andon?host=/tmp/a%20b/data&port=5432",
            "postgresql+psycopg://u:***@/andon?host=/tmp/a%20b/data&port=5432",
        ),
        ("amqp://guest:gue?st@rabbit/", "amqp://***"),
        ("amqps://u:p@[::1]:5671/%2F", "amqps://u:***@[::1]:5671/%2F"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("hunter2", "***"),
    ],
)
def test_the_place_is_shown_where_it_is_certain(url: str, shown: str) -> None:
    """So that a message says which server is meant."""
    assert without_password(url) == shown
