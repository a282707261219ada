"""The parts of a spreadsheet's archive, read within limits.

A file of a few kilobytes can unpack to gigabytes, and what reads it (openpyxl) keeps an element for
each tag, of a sheet only until the end of its row. So it is given no more than can be kept.
"""

import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from xml.parsers import expat

from typing_extensions import override

from producers.imports.rows import FileFault

MOST_ROWS = 1_048_576
"""As many as a spreadsheet has."""
LARGEST_TEXTS = 64 * 1024 * 1024
"""Bytes, unpacked, of the part that holds the texts: all are kept."""
LARGEST_KEPT = 16 * 1024 * 1024
"""Bytes, unpacked, of a row, of everything in a sheet that is no row, or of any other part."""
LARGEST_CONTENT = 2 * 1024 * 1024 * 1024
"""Bytes, unpacked, of everything together."""

_ROW = "http://schemas.openxmlformats.org/spreadsheetml/2006/main row"


def too_large() -> FileFault:
    """What is said of a spreadsheet that is not read any further."""
    return FileFault("is too large for a spreadsheet: save it as CSV")


class Parts(zipfile.ZipFile):
    """The archive.

    Attributes:
        texts: the part that holds the texts.

    Raises:
        FileFault: it unpacks to too much.
    """

    def __init__(self, path: Path) -> None:
        self.texts: str | None = None
        self._opened: list[IO[bytes]] = []
        super().__init__(path)
        if sum(member.file_size for member in self.infolist()) > LARGEST_CONTENT:
            self.close()
            raise too_large()

    @override
    def open(self, name: Any, *args: Any, **more: Any) -> Any:
        """A part, from which no more is read than can be kept."""
        info = self.getinfo(name) if isinstance(name, str) else name
        is_kept = info.filename == self.texts
        if is_kept and info.file_size > LARGEST_TEXTS:
            raise too_large()
        part = super().open(info, *args, **more)
        self._opened.append(part)
        return part if is_kept or info.file_size <= LARGEST_KEPT else _Sheet(part)

    @override
    def close(self) -> None:
        """Close the archive, and those parts that openpyxl left open when it stopped reading."""
        for part in self._opened:
            part.close()
        super().close()


class _Sheet:
    """A part that is so large that it can only be a sheet, read a row at a time."""

    def __init__(self, part: IO[bytes]) -> None:
        self._part = part
        self._rows = 0
        self._depth = 0
        """Of rows within rows."""
        self._outside = 0
        """Bytes that are in no row."""
        self._since = 0
        """Where the row that is read began, or the last one ended."""
        self._read = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            FileFault: more is asked for than can be kept.
        """
        if size < 0:
            raise too_large()
        data = self._part.read(size)
        self._read += len(data)
        self._parser.Parse(data, not data)
        kept = self._read - self._since + (0 if self._depth else self._outside)
        if kept > LARGEST_KEPT or self._rows > MOST_ROWS:
            raise too_large()
        return data

    def _begin(self, name: str, _attributes: object) -> None:
        if name == _ROW:
            if not self._depth:
                place = self._parser.CurrentByteIndex
                self._outside += place - self._since
                self._since = place
            self._depth += 1

    def _end(self, name: str) -> None:
        if name == _ROW:
            self._depth -= 1
            self._rows += 1
            if not self._depth:
                self._since = self._parser.CurrentByteIndex

    def close(self) -> None:
        """Close the part."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
