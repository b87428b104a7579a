"""Write Arrow columns as MessagePack elements and as key text: the hot path of a sync.

`controlplane.codec.values` and `controlplane.codec.keys` define the bytes; these kernels write the
same bytes for a whole column at once, without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.types import decimal_scale, is_decimal, is_list, item_type

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


class Cell(NamedTuple):
    """A marker and a number in every row; leading bytes of the number may be left out.

    Args:
        mark: the marker, of all rows or of each row.
        number: integers or float64; None: only the marker.
        kept: for each row, 8 bytes of 1 or 0: which bytes of its number are written; None: all.
        widths: for each row, how many bytes of its number are written.
    """

    mark: int | Bytes
    number: npt.NDArray[Any] | None = None
    kept: npt.NDArray[np.uint64] | None = None
    widths: npt.NDArray[np.integer[Any]] | int = 8


Part: TypeAlias = "bytes | Cell | pa.Array"
"""A part of every row: bytes that all rows share, a cell, or the values of a binary array."""


class _Form(NamedTuple):
    """How MessagePack writes numbers and lengths: for each size class, a marker and a width.

    `bounds` separate the size classes. The other arrays have one more entry, the last, for null.
    If `inline` is 0xff, the number is part of the marker.
    """

    bounds: Numbers
    marks: Bytes
    widths: npt.NDArray[np.int32]
    inline: Bytes
    kept: npt.NDArray[np.uint64]


def _form(bounds: Sequence[int], sizes: Sequence[tuple[int, int]]) -> _Form:
    widths = np.array([width for _, width in sizes] + [0], np.int32)
    return _Form(
        np.array(bounds, np.int64),
        np.array([mark for mark, _ in sizes] + [0xC0], np.uint8),
        widths,
        np.array([0 if width else 0xFF for _, width in sizes] + [0], np.uint8),
        (np.arange(8) >= 8 - widths[:, None]).view(np.uint64).reshape(-1),
    )


_SIGNED = [(0xD3, 8), (0xD2, 4), (0xD1, 2), (0xD0, 1)]
_UNSIGNED = [(0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)]
_INTEGER = _form(
    [-(2**31), -(2**15), -(2**7), -(2**5), 2**7, 2**8, 2**16, 2**32], [*_SIGNED, (0, 0), *_UNSIGNED]
)
_STRING = _form([2**5, 2**8, 2**16], [(0xA0, 0), (0xD9, 1), (0xDA, 2), (0xDB, 4)])
_BINARY = _form([2**8, 2**16], [(0xC4, 1), (0xC5, 2), (0xC6, 4)])
_FLOAT = _form([], [(0xCB, 8)])
_ARRAY = _form([2**4, 2**16], [(0x90, 0), (0xDC, 2), (0xDD, 4)])

_SAFE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-"
_SAFE = np.isin(np.arange(256), np.frombuffer(_SAFE_BYTES, np.uint8))
_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)
_ESCAPE = np.frombuffer("".join(f"%{byte:02X}" for byte in range(256)).encode(), np.uint8).reshape(
    256, 3
)


def packed(column: pa.Array, value_type: str) -> list[Part]:
    """Write one MessagePack element for each value of a column; null is nil.

    The column has the Arrow type of `codec.arrow.arrow_type(value_type)`.
    """
    if is_list(value_type):
        return _lists(column, item_type(value_type))
    if value_type == "bool":
        return [
            Cell(np.where(_valid(column), 0xC2 | _numpy(column, fill=False), 0xC0).astype(np.uint8))
        ]
    if value_type == "float64":
        return [_floats(column)]
    if value_type in ("int64", "date", "timestamp"):
        return [_headed(whole(column), _valid(column), _INTEGER)]
    return _texts(
        column if value_type in ("string", "binary") else decimals(column, value_type), value_type
    )


def stamps(numbers: Numbers) -> Cell:
    """Write each number as MessagePack's int64, never in a shorter form."""
    return Cell(0xD3, numbers)


def joined(*parts: Part) -> pa.Array:
    """Join the parts of each row; the result is binary."""
    arrays: list[pa.Array | pa.Scalar] = []
    for fixed, group in groupby(parts, lambda part: isinstance(part, Cell)):
        if fixed:
            arrays.append(_frame(list(cast("Iterator[Cell]", group))))
        else:
            arrays += [
                pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in group
            ]
    return arrays[0] if len(arrays) == 1 else pc.binary_join_element_wise(*arrays, b"")


def _frame(cells: Sequence[Cell]) -> pa.Array:
    """Join cells."""
    # As the fields of a record array: several times faster than as columns of a byte array.
    count = next(
        len(values)
        for cell in cells
        for values in (cell.number, cell.mark)
        if isinstance(values, np.ndarray)
    )
    fields: list[tuple[str, str]] = []
    for index, cell in enumerate(cells):
        fields.append((f"mark{index}", "u1"))
        if cell.number is not None:
            fields.append(
                (f"number{index}", f">{cell.number.dtype.kind}{cell.number.dtype.itemsize}")
            )
    frame = np.empty(count, fields)
    for index, cell in enumerate(cells):
        frame[f"mark{index}"] = cell.mark
        if cell.number is not None:
            frame[f"number{index}"] = cell.number
    lengths, content = np.full(count, frame.itemsize, np.int32), frame.view(np.uint8)
    if all(cell.kept is None for cell in cells):
        return _binary(lengths, content)
    kept = np.empty(count, [(name, f"=u{field_type[-1]}") for name, field_type in fields])
    kept.view(np.uint8)[:] = 1
    for index, cell in enumerate(cells):
        if cell.kept is not None:
            kept[f"number{index}"] = cell.kept
            lengths += cell.widths - 8
    return _binary(lengths, _filtered(content, kept.view(np.uint8)))


def _filtered(content: Bytes, kept: Bytes) -> Bytes:
    """Return the bytes at the positions where `kept` is 1."""
    # Arrow filters several times faster than numpy.
    bits = pa.py_buffer(np.packbits(kept, bitorder="little"))
    mask = pa.Array.from_buffers(pa.bool_(), len(kept), [None, bits])
    bytes_kept: Bytes = pa.array(content).filter(mask).to_numpy()
    return bytes_kept


def spelled(column: pa.Array, value_type: str) -> pa.Array:
    """Write each value as in a key, before it is escaped; the result is binary."""
    if value_type == "binary":
        lengths, content = _content(column)
        return _binary(lengths * 2, _HEX[content])
    if is_decimal(value_type):
        column = decimals(column, value_type)
    elif value_type == "timestamp":
        column = column.cast(pa.int64())
    return column.cast(pa.string()).cast(pa.binary())


def escaped(column: pa.Array) -> pa.Array:
    """Percent-escape everything but letters, digits and `_.-~`; an empty text becomes `%`."""
    lengths, content = _content(column)
    if content.tobytes().translate(None, _SAFE_BYTES):
        safe = _SAFE[content]
        kept = np.ones((len(content), 3), np.bool_)
        kept[:, 1:] = ~safe[:, None]
        spread = _ESCAPE[content]
        spread[safe, 0] = content[safe]
        ends = np.cumsum(np.concatenate(([0], np.where(safe, 1, 3))))
        bounds = np.concatenate(([0], np.cumsum(lengths)))
        column = _binary(np.diff(ends[bounds]), spread[kept])
    return column if lengths.all() else pc.if_else(pa.array(lengths > 0), column, b"%")


def decimals(column: pa.Array, value_type: str) -> pa.Array:
    """Write decimals in plain notation, with all digits of their scale."""
    scale = decimal_scale(value_type)
    # Arrow writes small decimals with an exponent, but never whole numbers: so the unscaled numbers
    # are written, and the point is put in afterwards.
    unscaled = pa.Array.from_buffers(
        pa.decimal128(38, 0), len(column), column.buffers(), offset=column.offset
    )
    text = unscaled.cast(pa.string())
    if scale == 0:
        return text
    sign = pc.if_else(pc.starts_with(text, "-"), "-", "")
    digits = pc.utf8_lpad(pc.utf8_ltrim(text, "-"), scale + 1, "0")
    whole_part, rest = (
        pc.utf8_slice_codeunits(digits, 0, -scale),
        pc.utf8_slice_codeunits(digits, -scale),
    )
    return pc.binary_join_element_wise(sign, whole_part, ".", rest, "")


def whole(column: pa.Array) -> Numbers:
    """Return the integers of a column: days of dates, microseconds of timestamps, 0 for null."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    numbers: Numbers = _numpy(column.cast(pa.int64()), fill=0)
    return numbers


def _numpy(column: pa.Array, fill: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - the column's own type
    filled = column.fill_null(fill) if column.null_count else column
    numbers: npt.NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return numbers


def _valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = (
        column.is_valid().to_numpy(zero_copy_only=False)
        if column.null_count
        else np.ones(len(column), np.bool_)
    )
    return valid


def _content(column: pa.Array) -> tuple[Numbers, Bytes]:
    """Return the lengths of a string or binary column's values (null: 0), and all their bytes."""
    if column.null_count:
        column = column.cast(pa.binary()).fill_null(b"")
    offsets = np.frombuffer(column.buffers()[1], np.int32)[
        column.offset : column.offset + len(column) + 1
    ]
    data = column.buffers()[2]
    content = (
        np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
        if data is not None
        else np.empty(0, np.uint8)
    )
    return np.diff(offsets).astype(np.int64), content


def _binary(lengths: npt.NDArray[np.integer[Any]], content: Bytes) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(content))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers, null_count=0)


def _floats(column: pa.Array) -> Cell:
    numbers = _numpy(column, fill=0.0)
    if not column.null_count:
        return Cell(0xCB, numbers)
    size = (~_valid(column)).astype(np.intp)
    return Cell(_FLOAT.marks.take(size), numbers, _FLOAT.kept.take(size), _FLOAT.widths.take(size))


def _headed(numbers: Numbers, valid: npt.NDArray[np.bool_], form: _Form) -> Cell:
    """Write each number in its shortest form."""
    # Often all numbers of a column have one size class: then no array of markers is needed.
    if len(numbers):
        least, most = np.searchsorted(form.bounds, (numbers.min(), numbers.max()), side="right")
        if least == most and form.widths[least] == 0:
            return Cell(
                np.where(valid, form.marks[least] | numbers.astype(np.uint8), 0xC0).astype(np.uint8)
            )
        if least == most and valid.all():
            return Cell(int(form.marks[least]), numbers.astype(f"i{form.widths[least]}"))
    size = np.searchsorted(form.bounds, numbers, side="right")
    size[~valid] = len(form.widths) - 1
    marks = form.marks.take(size) | (numbers.astype(np.uint8) & form.inline.take(size))
    return Cell(marks, numbers, form.kept.take(size), form.widths.take(size))


def _texts(column: pa.Array, value_type: str) -> list[Part]:
    raw = column.cast(pa.binary())
    lengths = _numpy(pc.binary_length(raw), fill=0).astype(np.int64)
    head = _headed(lengths, _valid(raw), _BINARY if value_type == "binary" else _STRING)
    return [head, raw.fill_null(b"") if raw.null_count else raw]


def _lists(column: pa.Array, value_type: str) -> list[Part]:
    bounds = column.offsets.to_numpy()
    head = _headed(np.diff(bounds).astype(np.int64), valid := _valid(column), _ARRAY)
    if bounds[0] == bounds[-1]:
        return [head]
    items = joined(*packed(column.values.slice(bounds[0], bounds[-1] - bounds[0]), value_type))
    offsets = np.frombuffer(items.buffers()[1], np.int32)[bounds - bounds[0]]
    buffers = [None, pa.py_buffer(offsets), items.buffers()[2]]
    bodies = pa.Array.from_buffers(pa.binary(), len(column), buffers, null_count=0)
    # In Arrow, the range of a null list may contain items.
    return [head, bodies if valid.all() else pc.if_else(pa.array(valid), bodies, b"")]
