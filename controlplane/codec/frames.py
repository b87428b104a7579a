"""Convert DataFrames of pandas, Polars or Arrow to rows and columns of canonical types.

They are read by the Arrow PyCapsule interface (`__arrow_c_stream__`), so that no DataFrame library
is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.ports import check_names
from controlplane.codec.arrow import arrow_type
from controlplane.errors import PlaneError

_INDEX = "__index_level_"  # how pandas passes on an index without a name
_PLAIN = (
    (pa.types.is_boolean, "bool"),
    (pa.types.is_integer, "int64"),
    (pa.types.is_floating, "float64"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),  # as Polars has it
    (pa.types.is_null, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_binary_view, "binary"),
    (pa.types.is_fixed_size_binary, "binary"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"),
)


def is_frame(value: object) -> bool:
    """Tell whether a value is a DataFrame of any library, or an Arrow table."""
    return hasattr(value, "__arrow_c_stream__") or (
        hasattr(value, "to_dict") and hasattr(value, "columns")
    )


def as_table(frame: Any) -> pa.Table:  # noqa: ANN401 - of any library
    """Convert a DataFrame to an Arrow table of canonical types.

    Timestamps are converted to UTC and truncated to microseconds. A pandas index with a name stays
    as a column; an index without a name is left out.

    Raises:
        PlaneError: it is not a DataFrame, or a column has a type that is not supported.
    """
    if not is_frame(frame):
        hint = "give a query or a table's name, or a DataFrame of pandas, Polars or Arrow"
        raise PlaneError(f"rows can't be read from a {type(frame).__name__}", hint=hint)
    try:
        table = pa.table(frame if hasattr(frame, "__arrow_c_stream__") else frame.to_dict("list"))
    except (pa.ArrowException, TypeError) as error:
        hint = "give each column one type, and each name as a text"
        raise PlaneError(f"the DataFrame can't be read as Arrow: {error}", hint=hint) from None
    table = table.select([name for name in table.column_names if not name.startswith(_INDEX)])
    check_names(table.column_names)
    columns = [
        _column(name, column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def types_of(table: pa.Table) -> dict[str, str]:
    """Return the canonical type of each column of a table from `as_table`."""
    return {field.name: _canonical_type(field.name, field.type) for field in table.schema}


def rows_of(keys: Any) -> Any:  # noqa: ANN401 - of any library
    """Return the rows of a DataFrame as mappings, in order; return any other value unchanged."""
    return as_table(keys).to_pylist() if is_frame(keys) else keys


def values_of(table: pa.Table, most: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows of a table from `as_table`, at most `most` at once.

    Timestamps are microseconds since the epoch.
    """
    fields = [
        pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in table.schema
    ]
    columns = [
        column.cast(field_type) for column, field_type in zip(table.columns, fields, strict=True)
    ]
    for batch in pa.table(columns, names=table.column_names).to_batches(max_chunksize=most):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def write_file(table: pa.Table, path: Path) -> None:
    """Write the rows of a table from `as_table` as Parquet."""
    # lazy: few processes read or write files, and the import takes long
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path)


def read_file(path: Path, delimiter: str = ",") -> pa.Table:
    """Read a Parquet or CSV file; in CSV an empty field is null, and `""` is an empty text.

    A CSV file must have passed `csv_header.delimiter`.

    Raises:
        PlaneError: its content is not of the format that its name says.
    """
    # lazy: few processes read or write files, and the imports take long
    import pyarrow.csv

    # lazy: as above
    import pyarrow.parquet

    try:
        if path.suffix.lower() == ".parquet":
            # Without partitioning: a folder named `x=y` would become a column.
            return pyarrow.parquet.read_table(path, partitioning=None)
        options = pyarrow.csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        parsing = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        return pyarrow.csv.read_csv(path, parse_options=parsing, convert_options=options)
    except pa.ArrowException as error:
        hint = "check that the file is complete, and that its name ends as its format needs"
        raise PlaneError(f"{path} can't be read: {error}", hint=hint) from None


def _column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    target_type = arrow_type(_canonical_type(name, column.type))
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = pc.floor_temporal(column, unit="microsecond")
    try:
        if pa.types.is_timestamp(column.type):
            # Cast to microseconds first: times in seconds may be out of their range, which must be
            # an error and not an overflow to another time.
            return column.cast(pa.timestamp("us", "UTC" if column.type.tz else None)).cast(
                target_type
            )
        return column.cast(target_type)
    except pa.ArrowInvalid as error:
        raise PlaneError(
            f"the DataFrame's column {name!r}: {error}", hint="convert the column first"
        ) from None


def _canonical_type(name: str, arrow: pa.DataType) -> str:
    """Return the canonical type of an Arrow type."""
    if pa.types.is_decimal(arrow) and arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision:
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"array<{_canonical_type(name, arrow.value_type)}>"
    for is_type, value_type in _PLAIN:
        if is_type(arrow):
            return value_type
    hint = "convert it to numbers, texts, bytes, dates, timestamps or lists of them"
    raise PlaneError(
        f"the DataFrame's column {name!r} has the type {arrow}, which is not supported", hint=hint
    )
