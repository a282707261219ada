"""`andon-client`: built, installed alone, and used as its documentation says."""

import runpy
import shutil
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.distribution import ROOT, Environment, build_distributions, install
from tests.support.examples import Place, blocks, documented_place
from tests.support.installation import Installation
from tests.support.tls import make_certificates, tls_proxy
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the repository."""
    return build_distributions(ROOT / "client", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Where the client is installed, and nothing else of Andon."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def place(installation: Installation, tmp_path: Path) -> Iterator[Place]:
    """A directory as the documentation has it, before a worker."""
    with documented_place(installation, tmp_path) as made:
        yield made


def test_it_brings_no_worker_and_no_database(environment: Environment, tmp_path: Path) -> None:
    """Neither Celery, kombu, SQLAlchemy nor psycopg is there, nor Andon's own top-level names."""
    code = """
import importlib.util, andon_client
absent = ("sqlalchemy", "psycopg", "celery", "kombu", "alembic", "models", "policy", "producers")
print([name for name in absent if importlib.util.find_spec(name)], andon_client.__file__)
"""
    found = environment.run("-c", code, directory=tmp_path)
    assert found.code == 0, found.stderr
    assert found.stdout.startswith("[] "), found.stdout
    assert str(environment.python.parents[1]) in found.stdout


def test_every_module_of_it_can_be_imported(
    wheel: Path, environment: Environment, tmp_path: Path
) -> None:
    """No import was forgotten, and none leads out of the package."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".py")]
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names
    ]
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"
    assert len(modules) > 20
    found = environment.run("-W", "error", "-c", code, directory=tmp_path)
    assert found.code == 0, found.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_it_tells_no_password_to_who_is_not_the_server(
    environment: Environment, tmp_path: Path
) -> None:
    """Certificates are checked by what is installed alone; `broker_ca` names another authority."""
    certificates = make_certificates(tmp_path)
    code = """
import sys
from pathlib import Path
from andon_client import Client, IntakeUnreachable
url, ca = sys.argv[1:]
key = {"source": "s", "key_id": "k", "secret": bytes(32)}
with Client(url, **key, retry_for=0, broker_ca=Path(ca)) as client:
    try:
        client.position()
    except IntakeUnreachable as error:
        print(error)
"""
    for scheme in ("rediss", "amqps"):
        with tls_proxy(certificates.self_signed, 1) as proxy:
            url = f"{scheme}://me:hunter2@localhost:{proxy.port}"
            authority = str(certificates.authority)
            found = environment.run("-c", code, url, authority, directory=tmp_path)
            assert found.code == 0, found.stderr
            assert "CERTIFICATE_VERIFY_FAILED" in found.stdout
            assert bytes(proxy.heard) == b""


def test_a_wheel_from_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """Who has the source distribution alone builds what the repository builds."""
    (source,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("andon_client-*")
    again = build_distributions(unpacked, tmp_path / "dist")
    assert _content(again) == _content(wheel)


def test_what_stands_twice_is_the_same() -> None:
    """Version, licence, and what is needed in which version are those of Andon itself."""
    mine, theirs = (
        tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]
        for name in ("client", ".")
    )
    assert mine["version"] == theirs["version"]
    assert set(mine["dependencies"]) <= set(theirs["dependencies"])
    assert (ROOT / "client" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_an_import_that_cannot_be_moved_stops_the_build() -> None:
    """Only one form of import is rewritten; no other one slips through as it is."""
    moved = runpy.run_path(str(ROOT / "client" / "hatch_build.py"))["moved"]
    kept = "import os\nfrom modelsx import y\n# from models.x import y\nz = 'from policy import'\n"
    assert moved(kept) == kept
    inside = "def f():\n    from models.x import (\n        y,\n    )\n"
    assert moved(inside) == inside.replace("from models.x", "from andon_client.models.x")
    for source in ("import models.x\n", "import os, policy\n", "from  models.x import y\n"):
        with pytest.raises(ValueError, match="line 1"):
            moved(source)


def _content(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_examples_of_the_client_do_what_they_say(
    place: Place, environment: Environment
) -> None:
    """Each block of docs/client.md runs as it stands; a second time changes nothing."""
    examples = {block.split()[1]: block for block in blocks("client.md", "python")}
    assert list(examples) == ["connect.py", "one.py", "many.py", "storm.py", "agent.py"]
    for name, source in examples.items():
        (place.directory / name).write_text(source)
    first, again = (
        {name: place.run(str(environment.python), name) for name in examples} for _ in range(2)
    )
    assert [done.stderr for done in (*first.values(), *again.values()) if done.code] == []
    assert first["one.py"].stdout == again["one.py"].stdout == "incident 1 P2\n"
    assert sorted(first["many.py"].stdout.splitlines()) == sorted(
        again["many.py"].stdout.splitlines()
    )
    assert first["many.py"].stdout.count("incident_id=") == 2
    assert first["storm.py"].stdout == again["storm.py"].stdout == "200 done\n"
    assert first["agent.py"].stdout == "accepted alert-4713\n"
    wait_for(lambda: "Router down" in place.titles(), what="the last report decided")
    branches = [title for title in place.titles() if title.startswith("Branch")]
    assert len(set(branches)) == len(branches) == 200
    assert [title for title in place.titles() if title not in branches] == [
        "Disk full on the portal",
        "Card payments fail",
        "Router down",
    ]


def test_the_python_example_of_the_contract_prints_what_it_says(
    place: Place, environment: Environment
) -> None:
    """The block in docs/producing.md runs as it stands, and again; the page shows its output."""
    (script,) = blocks("producing.md", "python")
    (place.directory / "report.py").write_text(script)
    first, again = (place.run(str(environment.python), "report.py") for _ in range(2))
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert first.stdout == again.stdout
    assert f"\n    {first.stdout}\n" in (ROOT / "docs" / "producing.md").read_text()
