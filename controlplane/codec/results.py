"""Convert the rows of a query, which arrive as Arrow batches, to tables, DataFrames and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from controlplane.codec.arrow import arrow_type
from controlplane.codec.times import endless
from controlplane.errors import MissingDriver, PermanentError

if TYPE_CHECKING:
    import pandas as pd


def reader(batches: Iterable[pa.RecordBatch], types: Mapping[str, str]) -> pa.RecordBatchReader:
    """Return a reader that takes each batch when it is asked for the next one.

    Args:
        batches: of one query.
        types: column -> canonical type; the schema of a result without batches. A column of any
            other type then has the type null.
    """
    rest = iter(batches)
    first = next(rest, None)
    if first is not None:
        return pa.RecordBatchReader.from_batches(first.schema, chain([first], rest))
    fields = [(name, arrow_type(text) or pa.null()) for name, text in types.items()]
    return pa.RecordBatchReader.from_batches(pa.schema(fields), iter(()))


def pandas(table: pa.Table) -> pd.DataFrame:
    """Convert a table to pandas, with columns of Arrow types: they keep integers next to nulls.

    Raises:
        MissingDriver: pandas is not installed.
    """
    try:
        # lazy: it is an extra of the user's, and takes half a second to import
        import pandas as pd
    except ImportError:
        hint = "pip install pandas, or use to_arrow()"
        raise MissingDriver("pandas is not installed", hint=hint) from None
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def polars(table: pa.Table) -> Any:  # noqa: ANN401 - polars is an extra, without it no type exists
    """Convert a table to Polars.

    Raises:
        MissingDriver: Polars is not installed.
    """
    try:
        # lazy: it is an extra of the user's
        import polars as pl
    except ImportError:
        hint = "pip install polars, or use to_arrow()"
        raise MissingDriver("polars is not installed", hint=hint) from None
    return pl.from_arrow(table)


def write_parquet(rows: pa.RecordBatchReader, path: Path, on_rows: Callable[[int], None]) -> int:
    """Write rows as Parquet, compressed with Snappy; returns their number.

    Args:
        rows: to write; one batch is in memory at a time.
        path: the file.
        on_rows: called with the number of rows that are written so far.

    Raises:
        PermanentError: Parquet has no form for a column's type.
    """
    # lazy: few processes write files, and the import takes long
    import pyarrow.parquet as pq

    # Dictionaries of numbers take as long as all the rest of the encoding, and save little.
    texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    with _translating(), pq.ParquetWriter(path, rows.schema, use_dictionary=texts) as writer:
        return _written(rows, writer.write_batch, on_rows)


def write_csv(rows: pa.RecordBatchReader, path: Path, on_rows: Callable[[int], None]) -> int:
    """Write rows as CSV in UTF-8 with a header; returns their number.

    A null is an empty field, an empty text is `""`. See `write_parquet` for the arguments.

    Raises:
        PermanentError: a column holds lists or structures, or a time that is infinite or outside
            the years 1 to 9999, which CSV files of Arrow can't express.
    """
    # lazy: few processes write files, and the import takes long
    import pyarrow.csv

    nested = [field.name for field in rows.schema if pa.types.is_nested(field.type)]
    if nested:
        text = f"CSV has no form for the lists in the column {nested[0]!r}"
        raise PermanentError(text, hint="export to a .parquet file, or leave the column out")
    with _translating(), pyarrow.csv.CSVWriter(path, rows.schema) as writer:
        return _written(_with_csv_times(rows), writer.write_batch, on_rows)


def _with_csv_times(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if endless(column):
                raise PermanentError(
                    f"the column {name!r} has a time that is infinite or outside the years 1 to"
                    " 9999",
                    hint=(
                        "export to a .parquet file, or cast the column to a text, as in plane query"
                        f' "SELECT * REPLACE (CAST({name} AS VARCHAR) AS {name}) FROM ..." -o FILE'
                    ),
                )
        yield batch


def _written(
    rows: Iterable[pa.RecordBatch],
    write: Callable[[pa.RecordBatch], None],
    on_rows: Callable[[int], None],
) -> int:
    count = 0
    for batch in rows:
        write(batch)
        count += batch.num_rows
        on_rows(count)
    return count


@contextmanager
def _translating() -> Iterator[None]:
    """Translate what Arrow raises about a column's type; it raises OSError about the file."""
    try:
        yield
    except pa.ArrowException as error:
        hint = "cast the column in the query, or leave it out"
        raise PermanentError(
            f"the file's format has no form for a column: {error}", hint=hint
        ) from None
