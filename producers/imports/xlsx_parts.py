"""The parts of a spreadsheet's archive, read within limits.

A file of a few kilobytes can unpack to gigabytes, and what reads it (openpyxl) keeps objects for
each tag and attribute: of a sheet until the end of its row, of the texts until the end of each, of
every other part for good. So each part is parsed here first, in pieces, and handed on only as long
as what it would make can be kept.
"""

import io
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from xml.parsers import expat

from typing_extensions import override

from producers.imports.rows import FileFault

MOST_ROWS = 1_048_576
"""As many as a spreadsheet has; of texts no more are taken."""
MOST_KEPT = 250_000
"""Elements and attributes of a row, of a text, of everything in a sheet that is neither, or of all
other parts together."""
LARGEST_TEXTS = 64 * 1024 * 1024
"""Bytes, unpacked, of the part that holds the texts: all are kept."""
LARGEST_KEPT = 16 * 1024 * 1024
"""Bytes, unpacked, of a row, of everything in a sheet that is no row, or of all other parts."""
LARGEST_CONTENT = 2 * 1024 * 1024 * 1024
"""Bytes, unpacked, of everything together."""
LARGEST_READ = 1024 * 1024
"""Bytes of the archive that are read at once: of its list of parts, which is kept."""

_PIECE = 64 * 1024
_LONG_VALUE = 64
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_ROW, _TEXT = f"{_SHEET} row", f"{_SHEET} si"


def too_large() -> FileFault:
    """What is said of a spreadsheet that is not read any further."""
    return FileFault("is too large for a spreadsheet: save it as CSV")


class ArchiveFile(io.BufferedReader):
    """The file; its list of parts, which zipfile reads at once, must not be very long."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        most = LARGEST_READ + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) == most:
            raise too_large()
        return data


class Parts(zipfile.ZipFile):
    """The archive.

    Attributes:
        texts: the part that holds the texts.
        kept: of all parts that are read as a whole.

    Args:
        file: closed with the archive.

    Raises:
        FileFault: it unpacks to too much.
    """

    def __init__(self, file: ArchiveFile) -> None:
        self.texts: str | None = None
        self.kept = Kept()
        self._file = file
        self._opened: list[IO[bytes]] = []
        super().__init__(file)
        if sum(member.file_size for member in self.infolist()) > LARGEST_CONTENT:
            self.close()
            raise too_large()

    @override
    def open(self, name: Any, *args: Any, **more: Any) -> Any:
        """A part, from which no more is read than can be kept."""
        info = self.getinfo(name) if isinstance(name, str) else name
        is_texts = info.filename == self.texts
        if is_texts and info.file_size > LARGEST_TEXTS:
            raise too_large()
        part = super().open(info, *args, **more)
        self._opened.append(part)
        return _Part(part, self.kept, _TEXT if is_texts else _ROW)

    @override
    def close(self) -> None:
        """Close the archive, and those parts that openpyxl left open when it stopped reading."""
        for part in self._opened:
            part.close()
        super().close()
        self._file.close()


class Kept:
    """What is made of a part that is read: how much of it is kept at the same time."""

    def __init__(self) -> None:
        self.bytes = 0
        self.elements = 0

    def add(self, count: int, elements: int) -> None:
        """More of it is kept."""
        self.bytes += count
        self.elements += elements

    def check(self) -> None:
        """See that it can be kept.

        Raises:
            FileFault: it is too much.
        """
        if self.bytes > LARGEST_KEPT or self.elements > MOST_KEPT:
            raise too_large()


class _Part:
    """One part: read in pieces, only a unit of it (a row, a text) is kept; as a whole, all of it.

    Args:
        part: where it is read from.
        whole: what is kept of parts that are read as a whole, this one included.
        unit: the element that is kept until it ends.
    """

    def __init__(self, part: IO[bytes], whole: Kept, unit: str) -> None:
        self._part = part
        self._whole = whole
        self._unit: str | None = unit
        self._units = 0
        self._depth = 0
        """Of units within units."""
        self._outside = Kept()
        """What is in no unit."""
        self._since = 0
        """Where the unit that is read began, or the last one ended."""
        self._elements = 0
        """From there on."""
        self._read = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.ordered_attributes = True
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end

    def read(self, size: int = -1) -> bytes:
        """The next bytes, or all of them.

        Raises:
            FileFault: more is asked for than can be kept.
        """
        if size >= 0:
            data = self._next(size)
            kept = Kept()
            kept.add(self._read - self._since, self._elements)
            if not self._depth:
                kept.add(self._outside.bytes, self._outside.elements)
            kept.check()
            return data
        self._unit = None
        pieces = []
        while piece := self._next(_PIECE):
            self._whole.add(len(piece), self._elements)
            self._whole.check()
            self._elements = 0
            pieces.append(piece)
        return b"".join(pieces)

    def _next(self, size: int) -> bytes:
        data = self._part.read(size)
        self._read += len(data)
        if size:
            self._parser.Parse(data, not data)
        if self._units > MOST_ROWS:
            raise too_large()
        return data

    def _begin(self, name: str, attributes: list[str]) -> None:
        if name == self._unit:
            if not self._depth:
                place = self._parser.CurrentByteIndex
                self._outside.add(place - self._since, self._elements)
                self._since, self._elements = place, 0
            self._depth += 1
        self._elements += 1 + len(attributes) // 2
        for value in attributes:
            if len(value) > _LONG_VALUE:
                self._elements += value.count(" ")  # a list of cells, maybe: an object for each

    def _end(self, name: str) -> None:
        if name == self._unit:
            self._depth -= 1
            self._units += 1
            if not self._depth:
                self._since, self._elements = self._parser.CurrentByteIndex, 0

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


def _refuse_doctype(*_: object) -> None:
    raise FileFault(
        "is not a spreadsheet (XLSX) that can be read: a part of it has a DOCTYPE, as none has"
    )
