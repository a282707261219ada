"""Opening a vendor's file: which format it has, its name's ending says."""

from pathlib import Path

from producers.imports.csv_rows import CsvFile
from producers.imports.json_rows import JsonLinesFile
from producers.imports.mapping import FileOptions
from producers.imports.rows import FileFault, ReportFile
from producers.imports.xlsx_rows import XlsxFile


def report_file(path: Path, options: FileOptions) -> ReportFile:
    """The report at *path*.

    Raises:
        FileFault: there is no file, or none of a format that can be read.
    """
    if not path.is_file():
        raise FileFault("is no file")
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".txt":
            return CsvFile(path, options.encoding, options.delimiter_of(path))
        case ".jsonl" | ".ndjson":
            return JsonLinesFile(path)
        case ".xlsx" | ".xlsm":
            return XlsxFile(path, options.sheet)
        case ending:
            raise FileFault(
                f"ends in {ending or 'nothing'!r}: a report is .csv, .tsv, .jsonl, .ndjson or .xlsx"
            )
