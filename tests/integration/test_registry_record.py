"""Changes of the registry are in the audit: once, by names, whoever puts them into force."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from models.audit_verify import verify_audit
from models.operator import who_acts
from tests.support.installation import REGISTRY, Installation
from tests.support.requests import SECRET
from tests.support.shell import andon
from worker.runtime import Runtime
from worker.stopping import Calls, StopFlag

RECORDS = """
    SELECT action, outcome, context FROM audit_records WHERE subject LIKE 'registry:%'
    ORDER BY at, sequence
"""
KEY = f'\n[[sources.narrow.keys]]\nid = "narrow-2"\nsecret = "{SECRET.hex()}"\n'


class Machine:
    """One process of a worker after another, on one installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.stack = ExitStack()

    def process(self) -> Runtime:
        """A process that has just started."""
        runtime = Runtime(self.installation.settings, StopFlag(), Calls())
        self.stack.callback(runtime.pipeline.engine.dispose)
        return runtime

    def starts(self) -> Runtime:
        """A process that starts, and looks at the registry."""
        runtime = self.process()
        runtime.pipeline.look_at_registry()
        return runtime

    def writes(self, text: str) -> None:
        """Another registry."""
        self.installation.settings.producers_file.write_text(text)

    def recorded(self) -> list[dict[str, Any]]:
        """What the audit says of registries, without who it was."""
        records = self.installation.rows(RECORDS)
        for record in records:
            assert who_acts().items() <= record.context.items()
        return [
            {name: value for name, value in record.context.items() if name not in who_acts()}
            for record in records
        ]


@pytest.fixture
def machine(installation: Installation) -> Iterator[Machine]:
    """A machine on which nothing has run yet."""
    machine = Machine(installation)
    with machine.stack:
        yield machine


FIRST = {"sources_added": ["monitor", "narrow"], "keys_added": ["monitor-1", "narrow-1"]}


def test_each_change_is_recorded_once(machine: Machine) -> None:
    """However many processes put it into force, then or later."""
    first, second = machine.starts(), machine.starts()
    machine.writes(REGISTRY + KEY)
    for runtime in (first, second, machine.starts()):
        runtime.pipeline.look_at_registry()
    machine.writes("# the same\n" + REGISTRY + KEY)
    for runtime in (first, second):
        runtime.pipeline.look_at_registry()
    assert machine.recorded() == [FIRST, {"keys_added": ["narrow-2"]}]


def test_every_kind_of_change_is_told(machine: Machine) -> None:
    """Sources and keys that are added, removed or changed; what is put back is a change, too."""
    runtime = machine.starts()
    for text in (
        REGISTRY.replace('users = ["manager"]', 'users = ["manager", "boss"]'),
        REGISTRY.replace(SECRET.hex(), "12" * 32, 1),
        REGISTRY,
        'withdrawn = ["narrow"]\n' + REGISTRY,
        REGISTRY.replace("narrow-1", "narrow-9"),
    ):
        machine.writes(text)
        runtime.pipeline.look_at_registry()
    assert machine.recorded() == [
        FIRST,
        {"sources_changed": ["narrow"]},
        {"sources_changed": ["narrow"], "keys_changed": ["monitor-1"]},
        {"keys_changed": ["monitor-1"]},
        {"sources_removed": ["narrow"], "keys_removed": ["narrow-1"]},
        {"sources_added": ["narrow"], "keys_added": ["narrow-9"]},
    ]


def test_a_change_is_recorded_once_by_many_at_the_same_time(machine: Machine) -> None:
    """Each process starts on it by itself."""
    with ThreadPoolExecutor(6) as pool:
        for started in [pool.submit(machine.starts) for _ in range(6)]:
            started.result()
    assert machine.recorded() == [FIRST]


def test_no_secret_is_recorded(machine: Machine) -> None:
    """Neither in the audit nor in the row that says what was recorded; and the audit verifies."""
    machine.starts()
    stored = machine.installation.rows("SELECT * FROM audit_records")
    stored += machine.installation.rows("SELECT * FROM registry_in_force")
    assert SECRET.hex() not in repr(stored)
    keys = machine.installation.settings.audit_keys()
    assert verify_audit(machine.installation.superuser, keys).misfits == ()


def test_a_process_that_starts_on_a_cut_registry_tells_of_it(machine: Machine) -> None:
    """What was recorded before it is missing: that is no removal, and is not recorded as one."""
    machine.starts()
    cut = REGISTRY.partition("[sources.narrow]")[0]
    machine.writes(cut)
    late = machine.starts()
    file = late.pipeline.means.registry
    assert "lacks what was there: narrow" in str(file.fault)
    installation = machine.installation
    for command in ("status", "producers list"):
        told = andon(
            *command.split(), settings=installation.environment(), directory=installation.directory
        )
        assert "lacks what was there: narrow" in told.stderr
    machine.writes(f'withdrawn = ["narrow"]\n{cut}')
    late.pipeline.look_at_registry()
    assert file.fault is None
    assert machine.recorded()[1:] == [{"sources_removed": ["narrow"], "keys_removed": ["narrow-1"]}]


def test_who_changes_the_registry_by_command_is_recorded(installation: Installation) -> None:
    """The account and the host, with what was done; whether or not a worker runs."""
    for arguments in (
        ("add", "alerts", "--any-procedure", "--any-user"),
        ("add", "alerts"),
        ("remove", "alerts"),
    ):
        done = andon(
            "producers",
            *arguments,
            settings=installation.environment(),
            directory=installation.directory,
        )
        assert done.code == 0, done.stderr
        assert "who has changed" not in done.stderr
    records = installation.rows(
        "SELECT action, context FROM audit_records WHERE subject = 'source:alerts'"
        " ORDER BY at, sequence"
    )
    assert [record.action for record in records] == ["create", "update", "delete"]
    assert all(who_acts().items() <= record.context.items() for record in records)
    assert all("secret" not in str(record.context) for record in records)
