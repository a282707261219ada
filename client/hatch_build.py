"""Builds ``andon_client`` from Andon's own modules: those that the client imports, and no others.

In the repository the modules stand once, below ``models``, ``policy`` and ``producers``. In the
distribution they stand below ``andon_client``, and their imports of each other are rewritten to
say so (docs/decisions/0005-the-client-alone.md). A source distribution holds them ready made.
"""

import ast
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from typing_extensions import override

PACKAGE = "andon_client"
PUBLIC = Path("public", "__init__.py")
"""What stands here as the package's own module: the names that programs use."""
FOLDERS = ("models", "policy", "producers")


class ModulesMoved(BuildHookInterface[Any]):
    """hatch's hook: gives the build the moved modules."""

    @override
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Move the modules, unless they come from a source distribution, which has them."""
        repository = Path(self.root).parent
        if (Path(self.root) / PUBLIC).exists():
            self._directory = tempfile.TemporaryDirectory(prefix="andon-client-")
            write_package(repository, Path(self._directory.name))
            build_data["force_include"][self._directory.name] = PACKAGE

    @override
    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for the build."""
        if hasattr(self, "_directory"):
            self._directory.cleanup()


def write_package(repository: Path, package: Path) -> None:
    """Write the package into the directory *package*."""
    public = (repository / "client" / PUBLIC).read_text()
    (package / "py.typed").touch()
    (package / "__init__.py").write_text(moved(public))
    for path, source in modules_of(repository, public).items():
        target = package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(moved(source))


def modules_of(repository: Path, source: str) -> Mapping[Path, str]:
    """The modules that *source* imports, directly or not, by their paths in the repository."""
    found: dict[Path, str] = {}
    wanted = list(_imported(source))
    while wanted:
        module = wanted.pop()
        for path in _files(repository, module):
            if path not in found:
                found[path] = (repository / path).read_text()
                wanted += _imported(found[path])
    return found


def moved(source: str) -> str:
    """The text of a module whose imports say where the modules are in the distribution.

    Raises:
        ValueError: it imports one in a way that cannot be moved.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module)) if _is_ours(module):
                line, column = lines[node.lineno - 1], node.col_offset
                before = f"from {module} "
                if not line.startswith(before, column):
                    raise ValueError(f"line {node.lineno}: write `{before}import …` on one line")
                end = column + len(before)
                lines[node.lineno - 1] = f"{line[:column]}from {PACKAGE}.{module} {line[end:]}"
            case ast.Import(names=names) if any(_is_ours(each.name) for each in names):
                raise ValueError(f"line {node.lineno}: write `from … import …` instead of `import`")
    return "".join(lines)


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield node.module
            for each in node.names:
                yield f"{node.module}.{each.name}"  # which may be a module too


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in FOLDERS


def _files(repository: Path, module: str) -> Iterator[Path]:
    """The file of a module, and those of the packages that it is in; none if it is no module."""
    path = Path(*module.split("."))
    file = path.with_suffix(".py")
    if (repository / path).is_dir():
        file = path / "__init__.py"
    if (repository / file).exists():
        yield file
        for parent in list(path.parents)[:-1]:
            yield parent / "__init__.py"
