"""What a dialect writes is read as what was meant, whatever stands in it."""

from __future__ import annotations

import pytest

from controlplane.base import template
from controlplane.sql.dialects import dialect


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("duckdb", r"'it''s a \ run'"),
        ("snowflake", r"'it''s a \\ run'"),
        ("databricks", r"'it\'s a \\ run'"),
    ],
)
def test_the_name_of_a_run_is_a_literal_whatever_stands_in_it(name, literal):
    # As `release.variables` gives it.
    run = {"plane": {"run_id": r"it's a \ run".replace("'", "''")}}
    assert template.render_text(dialect(name).open_text("plane.run_id"), run) == literal
