"""An aggregate function: `value_range`, the largest value less the smallest."""

from __future__ import annotations

from tests.price.toy import Insert, Tests, Toy, Types, Use

TOY = Toy(
    "value_range",
    "an aggregate function",
    [
        Insert(
            "controlplane/manifest/functions.py",
            after='    "max": Function(_ordered, _same, _ORDERED),\n',
            text='    "value_range": Function(is_number, _float64, _NUMBERS),\n',
        ),
        Insert(
            "controlplane/sql/states.py",
            after='        "max": (MAX,),\n',
            text='        "value_range": (MIN, MAX),\n',
        ),
        Insert(
            "controlplane/sql/aggregates.py",
            after="Meaning = Callable[[Window, AggregateSpec], str]\n",
            text="""

def _value_range(window: Window, _: AggregateSpec) -> str:
    d = window.dialect
    high, low = (d.cast(window.merged(label, label), "float64") for label in ("max", "min"))
    return f"{high} - {low}"
""",
        ),
        Insert(
            "controlplane/sql/aggregates.py",
            after='    "max": _plain("max", "max"),\n',
            text='    "value_range": _value_range,\n',
        ),
        Insert(
            "controlplane/verify/oracle.py",
            after='    "max": lambda _, values: max(values, key=sortable),\n',
            text="""\
    "value_range": lambda _, values: (
        float(max(values, key=sortable)) - float(min(values, key=sortable))
    ),
""",
        ),
        Insert(
            "controlplane/definitions/features.py",
            after="        function: count, sum, mean, min, max,",
            text=" value_range,",
        ),
        Insert(
            "tests/engine/cases.py",
            after='    "max": ORDERED,\n',
            text='    "value_range": NUMBERS,\n',
        ),
        Insert(
            "docs/definitions.md",
            after="| `min`, `max` | numbers, `string`, `date`, `timestamp` | the same | null |\n",
            text="| `value_range` | numbers | `float64`, the largest less the smallest | null |\n",
        ),
        Insert(
            "docs/verifying.md",
            after="| capability | DuckDB | Snowflake | Databricks |\n|---|---|---|---|\n",
            text="| value_range | `make verify` | not compared | not compared |\n",
        ),
    ],
    [
        Tests(
            [
                "tests/engine/test_functions.py::test_every_table_has_all_functions",
                "tests/engine/test_functions.py::test_every_function_has_states_and_is_documented",
                "tests/engine/test_capabilities.py::test_the_docs_name_each_of_them",
            ]
        ),
        Types(["controlplane"]),
        Use(
            "tests/engine/test_value_range.py",
            '''"""The values are those of the oracle, in random views that have the function."""

from tests.engine.cases import case_of
from tests.engine.differential import INTERVALS, Lab


def has_it(number: int) -> bool:
    features = case_of(number, 1.0, INTERVALS).view.features
    return "value_range" in [getattr(feature, "function", "") for feature in features]


def test_random_views_agree_with_the_oracle() -> None:
    lab = Lab()
    outcomes = [lab.play(number) for number in range(60) if has_it(number)]
    lab.close()
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    compared = sum((outcome.counts for outcome in outcomes), start=type(outcomes[0].counts)())
    assert sum(compared[key] for key in compared if key[0] == "value_range") > 100
''',
        ),
    ],
)
