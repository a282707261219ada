"""Which database URLs talk to whoever answers."""

import pytest

from models.database import is_unverified


@pytest.mark.parametrize(
    ("url", "unverified"),
    [
        ("postgresql+psycopg://u:p@db.example/andon", True),
        ("postgresql+psycopg://u:p@db.example/andon?sslmode=require", True),
        ("postgresql+psycopg://u:p@10.0.0.7:5432/andon?sslmode=verify-ca", True),
        ("postgresql+psycopg://u:p@/andon?host=db.example", True),
        ("postgresql+psycopg://u:p@db.example/andon?sslmode=verify-full", False),
        ("postgresql+psycopg://u:p@postgres/andon?sslmode=disable", False),
        ("postgresql+psycopg://u:p@localhost/andon", False),
        ("postgresql+psycopg://u:p@127.0.0.1:5432/andon", False),
        ("postgresql+psycopg://u:p@/andon?host=/run/postgresql", False),
    ],
)
def test_a_host_elsewhere_has_to_prove_who_it_is(
    monkeypatch: pytest.MonkeyPatch, url: str, unverified: bool
) -> None:
    """Only verify-full checks the name; this machine and a stated `disable` are taken as meant."""
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.delenv("PGHOST", raising=False)
    assert is_unverified(url) is unverified
