"""Case A11: values as text are read by one strict form each, and not by all that Python's own types
understand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from controlplane.base.types import parse_instant
from controlplane.codec.texts import parse_argument, parse_text

NOT_A_NUMBER = [
    "",
    " 1",
    "1 ",
    "1_0",
    "+1",
    "--1",
    "1e3",
    "１",
    "٣",
    "0x10",
    "1\n",
    "NaN",
    "Infinity",
    "1.",
    ".5",
    "-",
]
RIGHT: list[tuple[str, str, Any]] = [
    ("int64", "0", 0),
    ("int64", "-9223372036854775808", -(2**63)),
    ("int64", "007", 7),
    ("decimal(8,2)", "-10.5", Decimal("-10.50")),
    ("decimal(8,2)", "10", Decimal("10.00")),
    ("float64", "-1", -1.0),
    ("float64", "1.5e-3", 0.0015),
    ("float64", "1E3", 1000.0),
    ("float64", "-Infinity", -float("inf")),
    ("bool", "true", True),
    ("binary", "00fF", b"\x00\xff"),
    ("date", "2024-02-29", date(2024, 2, 29)),
    ("timestamp", "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
    ("timestamp", "2024-01-02T03:04", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
    (
        "timestamp",
        "2024-01-02 03:04:05.678901+02:00",
        datetime(2024, 1, 2, 1, 4, 5, 678901, tzinfo=UTC),
    ),
    ("timestamp", "2024-01-02T03:04:05.5Z", datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
]
WRONG = [
    *[("int64", text) for text in [*NOT_A_NUMBER, "1.0"]],
    *[
        ("decimal(8,2)", text)
        for text in [*NOT_A_NUMBER, " 1_0.5 ", "1_0.5", "1.5e0", "sNaN", "1.5.5"]
    ],
    *[
        ("float64", text)
        for text in [
            "",
            " 1",
            "1_0",
            "+1",
            "nan",
            "inf",
            "infinity",
            "-NaN",
            ".5",
            "1.",
            "１",
            "1e999",
        ]
    ],
    *[("bool", text) for text in ["True", "1", "yes", " true", ""]],
    *[("binary", text) for text in ["0", "00 ff", "0x00", "gg"]],
    *[
        ("date", text)
        for text in [
            "20240102",
            "2024-W01-2",
            "2024-1-2",
            "2024-01-02T00:00",
            "2024-02-30",
            " 2024-01-02",
        ]
    ],
    *[
        ("timestamp", text)
        for text in [
            "20240102T030405",
            "2024-W01-2",
            "2024-01-02T03",
            "2024-01-02x03:04",
            "2024-01-02T03:04:05,5",
            "2024-01-02T03:04:05.1234567",
            "2024-01-02T03:04:05.",
            "2024-01-02T03:04+0200",
            "2024-01-02T03:04 ",
            "2024-01-02T24:01",
            "２024-01-02",
            "0001-01-01T00:00+01:00",
            "",
        ]
    ],
]


@pytest.mark.parametrize(("kind", "text", "value"), RIGHT)
def test_a11_what_is_right(kind: str, text: str, value: Any) -> None:
    found = parse_argument(kind, text)
    assert (found, type(found)) == (value, type(value))
    if kind != "float64":
        assert parse_text(kind, text) == value


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_a11_what_is_wrong(kind, text):
    with pytest.raises(ValueError):  # noqa: PT011 - whoever asked says what is wrong
        parse_argument(kind, text)
    if kind != "float64":
        with pytest.raises(ValueError):  # noqa: PT011 - as above
            parse_text(kind, text)


def test_a11_a_text_that_is_no_instant_is_told():
    with pytest.raises(ValueError, match="'20240102' is not a time: write 2013-01-01"):
        parse_instant("20240102")
