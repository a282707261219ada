"""How long a batch may take."""

import pytest
from pydantic import SecretStr, ValidationError

from worker.settings import Settings


def settings(**limits: int) -> Settings:
    """Settings with these time limits."""
    return Settings(
        _env_file=None,
        database_url=SecretStr("postgresql://andon@localhost/andon"),
        broker_url=SecretStr("redis://localhost:6379/0"),
        producers_file="producers.toml",
        audit_key=SecretStr("first:" + "ab" * 32),
        **limits,
    )


def test_a_process_can_end_itself_before_it_is_killed() -> None:
    """The soft limit is below the hard one, by default and as it is set."""
    assert settings().batch_soft_time_limit < settings().batch_time_limit
    assert settings(batch_soft_time_limit=9, batch_time_limit=10).batch_soft_time_limit == 9


@pytest.mark.parametrize(
    "limits",
    [
        {"batch_soft_time_limit": 60},
        {"batch_time_limit": 45},
        {"batch_soft_time_limit": 10, "batch_time_limit": 10},
    ],
)
def test_a_soft_limit_that_is_not_below_the_hard_one_is_refused(limits: dict[str, int]) -> None:
    """Whichever of the two was set, the message names both."""
    with pytest.raises(ValidationError, match="must be below ANDON_BATCH_TIME_LIMIT") as caught:
        settings(**limits)
    assert caught.value.errors()[0]["loc"] == ("batch_soft_time_limit",)
