"""Rows of the warehouse, as the use cases return them: streamed, converted or written to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.base.ports import Statement, Warehouse, described
from controlplane.base.types import utc
from controlplane.codec import results, times
from controlplane.errors import PlaneError, disk_error
from controlplane.sql.dialects import dialect

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_WRITERS = {".parquet": results.write_parquet, ".csv": results.write_csv}


class Source:
    """A query and the warehouse that runs it.

    Args:
        warehouse: it must stay open for as long as rows are read.
        sql: one query.
        tag: names the work in the warehouse's own query log.
    """

    def __init__(self, warehouse: Warehouse, sql: str, tag: str = "") -> None:
        self.warehouse = warehouse
        self.sql = sql
        self.tag = tag

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """The columns in order, with their canonical types."""
        return described(self.warehouse, self.sql)


class Readable:
    """Rows that the warehouse computes when they are read. Every read runs the query again."""

    _source: Source

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns in order, with their types."""
        return self._source.columns

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Stream the rows as Arrow batches, so that a long result needs little memory."""
        with self._explained():
            yield from self._source.warehouse.fetch(self._source.sql, tag=self._source.tag)

    def _explained(self) -> AbstractContextManager[None]:
        """Explain the errors of the warehouse while it computes the rows."""
        return nullcontext()

    def head(self, count: int | None = 10) -> list[dict[str, Any]]:
        """Return the first rows as dictionaries, with timestamps in UTC; None returns all rows.

        A time that is infinite or outside the years 1 to 9999 is a text, such as `infinity`.
        """
        # Closed, so that the warehouse does not send the rest.
        with closing(self.batches()) as batches:
            rows = islice((row for batch in batches for row in times.rows(batch)), count)
            return [{name: _in_utc(value) for name, value in row.items()} for row in rows]

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return self._reader().read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame of pandas, with columns of Arrow types.

        Raises:
            MissingDriver: pandas is not installed.
        """
        return results.pandas(self.to_arrow())

    def to_polars(self) -> Any:  # noqa: ANN401 - polars is an extra: without it no type exists
        """Return the rows as a DataFrame of Polars.

        Raises:
            MissingDriver: Polars is not installed.
        """
        return results.polars(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Let any library read the rows by the Arrow PyCapsule interface."""
        return self._reader().__arrow_c_stream__(requested_schema)

    def export(self, file: str | Path, on_rows: Callable[[int], None] = lambda _: None) -> int:
        """Write the rows to a file, and return their number.

        The file appears when it is complete, and then replaces an earlier one.

        Args:
            file: its name ends in `.parquet` or `.csv`.
            on_rows: called with the number of rows that are written so far.

        Raises:
            PlaneError: the name has another end, the file can't be written, or its format has no
                form for a column.
        """
        path = Path(file)
        file_format = path.suffix.lower()
        if file_format not in _WRITERS:
            hint = "choose a name that ends in .parquet or .csv"
            raise PlaneError(f"unknown file format {path.suffix!r}: {path}", hint=hint)
        with _complete(path) as draft:
            # The embedded warehouse encodes Parquet with all cores.
            copy = self._copy(draft) if file_format == ".parquet" else ""
            if not copy:
                return _WRITERS[file_format](self._reader(), draft, on_rows)
            with self._explained():
                [count] = self._source.warehouse.execute([Statement(f"export to {path}", copy)])
            on_rows(count)
            return count

    def _copy(self, draft: Path) -> str:
        d = dialect(self._source.warehouse.dialect)
        return d.copy_to_parquet(self._source.sql, self._source.columns, str(draft))

    def _reader(self) -> pa.RecordBatchReader:
        return results.reader(self.batches(), self._source.columns)


class Rows(Readable):
    """The rows of a query, as `ControlPlane.query` returns them."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __repr__(self) -> str:
        return f"Rows({', '.join(f'{name}: {text}' for name, text in self.columns.items())})"


def _in_utc(value: Any) -> Any:  # noqa: ANN401 - of any type
    if isinstance(value, list):
        return [_in_utc(item) for item in value]
    return utc(value) if isinstance(value, datetime) else value


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """Yield the path of a new file next to `path`, which then replaces it.

    After an error the new file is removed; a killed process leaves it.
    """
    # Of a link, the file that it names is replaced, and not the link.
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    if target.exists() and not target.is_file():
        raise PlaneError(f"{path} is not a file", hint="choose the name of a file")
    try:
        # Before the query runs, which may take long.
        draft.touch()
        yield draft
        draft.replace(target)
    except OSError as error:
        raise disk_error(error) or PlaneError(
            f"{path} can't be written: {error.strerror or error}", hint="choose another file"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
