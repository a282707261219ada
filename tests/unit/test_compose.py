"""The compose file and what belongs to it, as far as it can be judged without Docker."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    """The compose file as it stands."""
    return (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    """Its services, with anchors and merges resolved."""
    loaded: dict[str, Any] = yaml.safe_load(text)["services"]
    return loaded


def test_every_secret_is_required_and_explained(text: str) -> None:
    """Compose refuses to start without a secret, and .env.example names each one, empty."""
    variables = re.findall(r"(?<!\$)\$\{([A-Z_]+)([^}]*)\}", text)
    assert variables
    assert all(rule.startswith(":?") and ".env.example" in rule for _, rule in variables)
    example = dict(
        re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert example.keys() == {name for name, _ in variables}
    secrets = {
        name: value
        for name, value in example.items()
        if not name.endswith(("_DIRECTORY", "_MAXMEMORY"))
    }
    assert set(secrets.values()) == {""}


def test_redis_loses_nothing_it_confirmed(services: dict[str, Any]) -> None:
    """Redis appends every write at once, evicts nothing, and shows its passwords in no argument."""
    command = " ".join(services["redis"]["command"])
    for option in (
        *("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"),
        *("--maxmemory ${REDIS_MAXMEMORY:", "--aclfile /data/users.acl"),
    ):
        assert option in command
    assert "PASSWORD" not in command
    assert "redis:/data" in services["redis"]["volumes"]


def test_redis_takes_nothing_larger_than_an_event_could_be(services: dict[str, Any]) -> None:
    """A producer cannot fill its memory with one entry."""
    assert "--proto-max-bulk-len 1mb" in " ".join(services["redis"]["command"])


def test_producers_do_not_reach_the_database(services: dict[str, Any], text: str) -> None:
    """PostgreSQL and what only needs it are on a network that producers do not join."""
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert networks == {
        "postgres": {"database"},
        "migrate": {"database"},
        "redis": {"andon"},
        "worker": {"andon", "database"},
        "schedules": {"andon", "database"},
        "gateway": {"andon", "database"},
    }
    assert yaml.safe_load(text)["networks"]["database"] == {"internal": True}


def test_nobody_has_to_do_with_the_other_databases() -> None:
    """The roles of Andon connect to its database alone."""
    roles = (ROOT / "deploy/postgresql/roles.sql").read_text()
    assert "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;" in roles


def test_only_migrate_gets_the_owner_s_role(services: dict[str, Any]) -> None:
    """What runs all day connects as the worker's role alone."""
    owners = {
        name
        for name, service in services.items()
        if "ANDON_OWNER_DATABASE_URL" in service.get("environment", {})
    }
    assert owners == {"migrate"}


def test_the_worker_may_finish(services: dict[str, Any]) -> None:
    """The worker has longer to end than Celery waits for its pool."""
    assert services["worker"]["stop_grace_period"] == "40s"


def test_the_gateway_has_no_rights_of_others(services: dict[str, Any]) -> None:
    """What senders reach has neither the worker's database role nor the key of the audit."""
    settings = services["gateway"]["environment"]
    assert not {"ANDON_DATABASE_URL", "ANDON_OWNER_DATABASE_URL", "ANDON_AUDIT_KEY"} & set(settings)
    assert "//andon_gateway:" in settings["ANDON_GATEWAY_DATABASE_URL"]
    assert settings["ANDON_BROKER_URL"].startswith("redis://gateway:${REDIS_GATEWAY_PASSWORD:")


def test_the_gateway_has_the_keys_of_its_own_sources_alone(services: dict[str, Any]) -> None:
    """What senders reach sees another directory than the workers, who have every source's key."""
    mounted = {
        name: [each["source"] for each in services[name]["volumes"] if isinstance(each, dict)]
        for name in ("worker", "schedules", "gateway")
    }
    assert mounted["worker"] == mounted["schedules"]
    assert mounted["worker"][0].startswith("${ANDON_CONFIG_DIRECTORY:")
    assert [each.partition(":")[0] for each in mounted["gateway"]] == ["${ANDON_GATEWAY_DIRECTORY"]


def test_no_process_of_andon_is_an_administrator_of_redis(services: dict[str, Any]) -> None:
    """Each has a user of its own, of which deploy/redis says what it may."""
    users = {
        name: services[name]["environment"]["ANDON_BROKER_URL"].partition(":${")[0]
        for name in ("worker", "schedules", "gateway")
    }
    assert users == {
        "worker": "redis://worker",
        "schedules": "redis://worker",
        "gateway": "redis://gateway",
    }


def test_postgresql_logs_no_rows(services: dict[str, Any]) -> None:
    """Neither the details of an error nor a statement's parameters reach the log."""
    assert {
        "-clog_error_verbosity=terse",
        "-clog_min_error_statement=panic",
        "-clog_parameter_max_length_on_error=0",
    } <= set(services["postgres"]["command"])


def test_what_the_gateway_spools_outlives_its_container(services: dict[str, Any]) -> None:
    """The spool is on a volume, in a directory that the image gives to its user."""
    spool = Path(services["gateway"]["environment"]["ANDON_GATEWAY_SPOOL"])
    assert f"spool:{spool.parent}" in services["gateway"]["volumes"]
    made = (ROOT / "Dockerfile").read_text()
    assert f"install --directory --owner=10001 --group=10001 --mode=700 {spool.parent}" in made


@pytest.mark.parametrize("name", ["worker", "schedules", "gateway"])
def test_nothing_runs_before_the_tables_are_there(services: dict[str, Any], name: str) -> None:
    """The long-running services wait for the migration and for healthy engines."""
    conditions = {on: how["condition"] for on, how in services[name]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    # Accounting would restart what is well and never what hangs.
    assert services[name]["healthcheck"]["test"] == ["CMD", "andon", "health", name]


def test_nothing_is_published_and_nobody_is_root(services: dict[str, Any]) -> None:
    """No service opens a port on the host, and Andon's image ends as an ordinary user."""
    assert not any("ports" in service for service in services.values())
    assert not any(service.get("privileged") for service in services.values())
    users = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1:] == ["10001:10001"]


def test_the_image_holds_every_package_of_the_distribution() -> None:
    """The Dockerfile and its ignore file name what pyproject.toml ships, and no more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == packages
    let_in = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert packages <= let_in
