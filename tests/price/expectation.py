"""An expectation: `expect.positive(column)`."""

from __future__ import annotations

from tests.price.toy import Insert, Tests, Toy, Types, Use

TOY = Toy(
    "expect.positive",
    "an expectation",
    [
        Insert(
            "controlplane/definitions/expect.py",
            after='    """Made by `that`."""\n\n    condition: str\n',
            text='''

@dataclass(frozen=True, kw_only=True)
class Positive(Expectation):
    """Made by `positive`."""

    column: str
''',
        ),
        Insert(
            "controlplane/definitions/expect.py",
            after="    return That(condition=condition, may_fail=may_fail, severity=severity, "
            "name=name)\n",
            text='''

def positive(
    column: str, *, may_fail: float = 0, severity: str = "error", name: str | None = None
) -> Expectation:
    """Expect the column to be above zero; nulls pass.

    Args:
        column: its name.
        may_fail: as in `not_null`.
        severity: as in `rows`.
        name: as in `rows`.
    """
    return Positive(column=column, may_fail=may_fail, severity=severity, name=name)
''',
        ),
        Insert(
            "controlplane/manifest/expectations.py",
            after='    """A condition on a row."""\n\n    condition: str\n',
            text='''

class PositiveSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="positive"):
    """A value above zero."""

    column: TypedColumn
''',
        ),
        Insert(
            "controlplane/manifest/expectations.py",
            after="\nExpected = RowsSpec",
            text=" | PositiveSpec",
        ),
        Insert(
            "controlplane/compile/expectations.py",
            after="    OneOfSpec,\n",
            text="    PositiveSpec,\n",
        ),
        Insert(
            "controlplane/compile/expectations.py",
            after="                return column and NotNullSpec(*self._common(expectation), "
            "column=column)\n",
            text="""\
            case expect.Positive():
                numbers = ("int64", "float64", "a decimal")
                column = self._column(expectation, expectation.column, numbers)
                return column and PositiveSpec(*self._common(expectation), column=column)
""",
        ),
        Insert(
            "controlplane/compile/expectations.py",
            after='            return f"not_null({expectation.column})"\n',
            text="""\
        case expect.Positive():
            return f"positive({expectation.column})"
""",
        ),
        Insert(
            "controlplane/sql/expectations.py",
            after="    OneOfSpec,\n",
            text="    PositiveSpec,\n",
        ),
        Insert(
            "controlplane/sql/expectations.py",
            after="def _failing(expected: NotNullSpec",
            text=" | PositiveSpec",
        ),
        Insert(
            "controlplane/sql/expectations.py",
            after="    value, canonical = _typed(expected.column, d), expected.column[1]\n",
            text="""\
    if isinstance(expected, PositiveSpec):
        return f"CASE WHEN NOT ({value} > 0) THEN {d.cast(value, 'string')} END"
""",
        ),
        Insert(
            "docs/reference.md",
            after="<!-- autofunction: controlplane.expect.that -->\n",
            text="\n<!-- autofunction: controlplane.expect.positive -->\n",
        ),
        Insert(
            "docs/quality.md",
            after="| expectation | condition | exceptions |\n|---|---|---|\n",
            text='| `expect.positive("air_time")` | a value above zero | nulls pass |\n',
        ),
    ],
    [
        Tests(["tests/test_pages.py::test_the_pages_show_every_public_name"]),
        Types(["controlplane"]),
        Use(
            "tests/engine/test_positive.py",
            '''"""A value that is not positive stops the run; a null does not."""

import pytest

from controlplane import expect
from controlplane.errors import CheckFailed
from tests.engine.rig import Rig
from tests.engine.test_expectations import COLUMNS, DAY, START, recorded, row, view_of


@pytest.mark.parametrize(("amount", "failed"), [(1, 0), (None, 0), (0, 1), (-1, 1)])
def test_it_is_checked(amount: int | None, failed: int) -> None:
    rows = [row("01-01 01:00", amt=amount, word="x"), row("01-01 02:00", amt=5, word="x")]
    with Rig(view_of(expect.positive("amt")), COLUMNS, rows=rows) as rig:
        if failed:
            with pytest.raises(CheckFailed):
                rig.materialize(START, START + DAY)
        else:
            rig.materialize(START, START + DAY)
        seen = str(amount) if failed else None
        assert recorded(rig) == {"view: positive(amt)": ("error", 2, failed, not failed, seen)}
''',
        ),
    ],
)
