"""The statement that makes a Python function, as each warehouse has it, and its call."""

from __future__ import annotations

import pytest

from controlplane.errors import Location
from controlplane.manifest.specs import CalculationSpec
from controlplane.sql.dialects import dialect
from controlplane.sql.functions import body, called, create

TYPES = {"at": "timestamp", "plane_dates": "array<decimal(9,2)>"}
SPEC = CalculationSpec(
    "soon",
    "timestamp",
    "",
    tuple(TYPES),
    "",
    Location("f.py", 1),
    "def soon(at, plane_dates):\n    return at",
)


@pytest.mark.parametrize(
    ("name", "begins", "ends", "call"),
    [
        (
            "duckdb",
            (
                'CREATE OR REPLACE TEMPORARY FUNCTION "{name}"("plane_1" TIMESTAMP, "plane_2"'
                " DECIMAL(9,2)[])\nRETURNS TIMESTAMP\nLANGUAGE PYTHON\nHANDLER ="
                " 'plane_value'\nAS $$\n"
            ),
            "\n$$",
            '"{name}"("at", "plane_dates")',
        ),
        (
            "snowflake",
            (
                'CREATE OR REPLACE TEMPORARY FUNCTION "FEATURES"."{capitals}"("PLANE_1"'
                ' TIMESTAMP_NTZ(6), "PLANE_2" ARRAY(NUMBER(9,2)))\nRETURNS'
                " TIMESTAMP_NTZ(6)\nLANGUAGE PYTHON\nRUNTIME_VERSION = '3.11'\nHANDLER ="
                " 'plane_value'\nAS $$\n"
            ),
            "\n$$",
            '"FEATURES"."{capitals}"("AT", "PLANE_DATES")',
        ),
        (
            "databricks",
            (
                "CREATE OR REPLACE TEMPORARY FUNCTION `{name}`(`plane_1` TIMESTAMP_NTZ, `plane_2`"
                " ARRAY<DECIMAL(9,2)>)\nRETURNS TIMESTAMP_NTZ\nLANGUAGE PYTHON\nDETERMINISTIC\nAS"
                " $$\n"
            ),
            "\n\n\nreturn plane_value(plane_1, plane_2)\n$$",
            "`{name}`(CAST(`at` AS TIMESTAMP_NTZ), `plane_dates`)",
        ),
    ],
)
def test_each_has_it_in_its_words(name, begins, ends, call):
    d = dialect(name)
    made = create(d, "features", SPEC, TYPES)
    [function] = {
        word.strip('"`') for word in called(d, "features", SPEC, TYPES).partition("(")[0].split(".")
    } - {"FEATURES"}
    named = {"name": function, "capitals": function.upper()}
    assert made.sql == begins.format(**named) + body(SPEC) + ends
    assert called(d, "features", SPEC, TYPES) == call.format(**named)
