"""A kind of window: `SkipNewest("3d")`, the last three days without their newest tile."""

from __future__ import annotations

from tests.price.toy import Insert, Tests, Toy, Types, Use

TOY = Toy(
    "SkipNewest",
    "a kind of window",
    [
        Insert(
            "controlplane/definitions/windows.py",
            after="    window: str\n    steps: int\n    step: str | None = None\n",
            text='''

@dataclass(frozen=True)
class SkipNewest:
    """The last `window` without its newest tile.

    Args:
        window: the length with that tile, such as `3d`.
    """

    window: str
''',
        ),
        Insert(
            "controlplane/definitions/__init__.py",
            after="from controlplane.definitions.windows import Calendar, Series",
            text=", SkipNewest",
        ),
        Insert(
            "controlplane/definitions/__init__.py",
            after='    "Series",\n',
            text='    "SkipNewest",\n',
        ),
        Insert("controlplane/__init__.py", after="        Series,\n", text="        SkipNewest,\n"),
        Insert("controlplane/__init__.py", after='    "Series",\n', text='    "SkipNewest",\n'),
        Insert(
            "controlplane/definitions/features.py",
            after="from controlplane.definitions.windows import Calendar, Series",
            text=", SkipNewest",
        ),
        Insert(
            "controlplane/definitions/features.py",
            after="    windows: Sequence[str | Series | Calendar",
            text=" | SkipNewest",
        ),
        Insert(
            "controlplane/manifest/windows.py",
            after='    """The last `length` before T."""\n\n    length: timedelta\n',
            text='''

class SkippingWindow(msgspec.Struct, frozen=True, tag_field="kind", tag="skipping"):
    """The last `length` before T without the newest part, which is `skipped` long."""

    length: timedelta
    skipped: timedelta
''',
        ),
        Insert(
            "controlplane/manifest/windows.py",
            after="\nWindow = SlidingWindow",
            text=" | SkippingWindow",
        ),
        Insert(
            "controlplane/manifest/windows.py",
            after="        case SlidingWindow(length):\n            return format_duration(length)\n",
            text="""\
        case SkippingWindow(length, skipped):
            return f"{format_duration(length)} without the newest {format_duration(skipped)}"
""",
        ),
        Insert(
            "controlplane/compile/windows.py",
            after="from controlplane.definitions import Aggregate, Calendar, Series",
            text=", SkipNewest",
        ),
        Insert(
            "controlplane/compile/windows.py",
            after="    SeriesWindow,\n",
            text="    SkippingWindow,\n",
        ),
        Insert(
            "controlplane/compile/windows.py",
            after="            compiled = _calendar(window, feature, subject, grid, collector)\n",
            text="""\
        elif isinstance(window, SkipNewest):
            compiled = _skipping(window, feature, subject, grid, collector)
""",
        ),
        Insert(
            "controlplane/compile/windows.py",
            after="_FINEST = timedelta(minutes=1)\n",
            text="""

def _skipping(
    window: SkipNewest, feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> tuple[str, Window] | None:
    length = _length(window.window, "window", feature, subject, grid, collector)
    if length == grid.tile:
        text = f"{subject}: a window of one tile has nothing but its newest tile"
        collector.add(text, feature.location, "give a longer window")
        return None
    label = f"{window.window.replace(' ', '')}_skip_newest"
    return None if length is None else (label, SkippingWindow(length, grid.tile))
""",
        ),
        Insert(
            "controlplane/manifest/timing.py",
            after="    SeriesWindow,\n",
            text="    SkippingWindow,\n",
        ),
        Insert(
            "controlplane/manifest/timing.py",
            after="        case SlidingWindow(length)",
            text=" | SkippingWindow(length)",
        ),
        Insert(
            "controlplane/sql/windows.py",
            after="    SeriesWindow,\n",
            text="    SkippingWindow,\n",
        ),
        Insert(
            "controlplane/sql/windows.py",
            after="                return [self._sliding(length, aggregate.offset)]\n",
            text="""\
            case SkippingWindow(length, skipped):
                return [self._sliding(length - skipped, aggregate.offset - skipped)]
""",
        ),
        Insert(
            "controlplane/sql/windows.py",
            after="                return [self._between(aggregate.offset, length)]\n",
            text="""\
            case SkippingWindow(length, skipped):
                return [self._between(aggregate.offset - skipped, length - skipped)]
""",
        ),
        Insert(
            "controlplane/sql/windows.py",
            after="                durations |= {tile - aggregate.offset, "
            "length - aggregate.offset + tile}\n",
            text="""\
            case SkippingWindow(length, skipped):
                entered = tile + skipped - aggregate.offset
                durations |= {entered, length - aggregate.offset + tile}
""",
        ),
        Insert(
            "controlplane/sql/rollups.py",
            after="    SeriesWindow,\n",
            text="    SkippingWindow,\n",
        ),
        Insert(
            "controlplane/sql/rollups.py",
            after="            return [Span(-aggregate.offset, length)]\n",
            text="""\
        case SkippingWindow(length, skipped):
            return [Span(skipped - aggregate.offset, length - skipped)]
""",
        ),
        Insert(
            "controlplane/sql/rollups.py",
            after="            case SlidingWindow(length) | SeriesWindow(length)",
            text=" | SkippingWindow(length)",
        ),
        Insert(
            "controlplane/verify/expected.py",
            after="    SeriesWindow,\n",
            text="    SkippingWindow,\n",
        ),
        Insert(
            "controlplane/verify/expected.py",
            after='            return {"window": _micros(length)}\n',
            text="""\
        case SkippingWindow(length, skipped):
            return {"window": _micros(length), "skipped": _micros(skipped)}
""",
        ),
        Insert(
            "controlplane/verify/oracle.py",
            after="    lists_keys: bool = False\n",
            text="    skipped: int = 0\n",
        ),
        Insert(
            "controlplane/verify/oracle.py",
            after="            start = self.start if feature.window is None else end - "
            "feature.window\n",
            text="            end -= feature.skipped\n",
        ),
        Insert(
            "tests/engine/cases.py",
            after="    Series,\n",
            text="    SkipNewest,\n",
        ),
        Insert(
            "tests/engine/cases.py",
            after="    window: str | Series | Calendar",
            text=" | SkipNewest",
        ),
        Insert(
            "tests/engine/cases.py",
            after='["lifetime", "series", "calendar", "calendar"',
            text=', "skipping"',
        ),
        Insert(
            "tests/engine/cases.py",
            after='        window, label, rest = "lifetime", "lifetime", {"window": None}\n',
            text="""\
    elif kind == "skipping" and length > tile:
        window, label = SkipNewest(text(length)), f"{text(length)}_skip_newest"
        rest = {"window": length, "skipped": tile}
""",
        ),
        Insert(
            "tests/engine/differential.py",
            after='        "lifetime": feature.window is None,\n',
            text='        "skipping": bool(feature.skipped),\n',
        ),
        Insert(
            "tests/engine/capabilities.py",
            after='WINDOWS = ("sliding", ',
            text='"skipping", ',
        ),
        Insert(
            "docs/verifying.md",
            after="| capability | DuckDB | Snowflake | Databricks |\n|---|---|---|---|\n",
            text="| skipping window | `make verify` | not compared | not compared |\n",
        ),
        Insert(
            "docs/reference.md",
            after="<!-- autoclass: controlplane.Series -->\n",
            text="\n<!-- autoclass: controlplane.SkipNewest -->\n",
        ),
        Insert(
            "docs/definitions.md",
            after="| in `windows=[...]` | rows in the window that ends at T | suffix of the feature's name |\n"
            "|---|---|---|\n",
            text='| `SkipNewest("3d")` | the last 3 days without their newest tile |'
            " `_3d_skip_newest` |\n",
        ),
    ],
    [
        Tests(
            [
                "tests/test_pages.py::test_the_pages_show_every_public_name",
                "tests/engine/test_capabilities.py::test_every_kind_of_window_is_counted",
                "tests/engine/test_capabilities.py::test_some_hundred_cases_have_it_all",
                "tests/engine/test_capabilities.py::test_the_docs_name_each_of_them",
            ]
        ),
        Types(["controlplane"]),
        Use(
            "tests/engine/test_skip_newest.py",
            '''"""The values are those of the oracle, in a project and in random views with such a window."""

from controlplane import ControlPlane
from tests.engine.cases import case_of
from tests.engine.differential import INTERVALS, Lab, labels
from tests.shop import Shop


def has_it(number: int) -> bool:
    features = case_of(number, 1.0, INTERVALS).view.features
    return any("skipping" in labels(feature)[1] for feature in features)


def test_random_views() -> None:
    lab = Lab()
    outcomes = [lab.play(number) for number in range(40) if has_it(number)]
    lab.close()
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    assert any(key[1] == "skipping" for outcome in outcomes for key in outcome.counts)


def test_its_values(tmp_path) -> None:
    shop = Shop(tmp_path / "shop", None, name="skipping")
    shop.redefine(
        ("Entity, FeatureService", "Entity, FeatureService, SkipNewest"),
        ('windows=["2d"]', 'windows=["2d", SkipNewest("3d")]'),
    )
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
        plane.run()
        assert [view.mismatches for view in plane.verify(cases=40, seed=7).views] == [[]]
    values = shop.sql("SELECT amount_sum_3d_skip_newest FROM features.spend WHERE user_id = 1")
    # [December 31, January 2) at January 3 and the day after; nothing else happens until the 4th.
    assert set(values) == {(None,), (10,)}
''',
        ),
    ],
)
