"""Features of a batch feature view: a column of the last row, or an aggregate over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.definitions.location import caller
from controlplane.definitions.windows import Calendar, Series
from controlplane.errors import Location


@dataclass(frozen=True)
class Attribute:
    """A row feature: the value of a column in the entity's last row.

    Args:
        name: the feature's name.
        type: its type, which must be the type of the column (see
            `controlplane.base.types`).
        column: the column of the view's SQL (default: `name`).
        description: one sentence for other users.
    """

    name: str
    type: str
    column: str | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)


@dataclass(frozen=True)
class Aggregate:
    """One function over one or several windows; every window is a feature of its own.

    A window of length W at time T covers events with `T - W <= event time < T`; nulls in the column
    are left out.

    A feature is named `<name>_<window>`, or `<name>_<window>_offset_<offset>`. The default name is
    `<column>_<function>`, or `<function>` without a column. In the name, `last_n` with n=5 is
    `last_5`, and `percentile` with q=0.95 is `p95`.

    With `by=`, `_by_<column>` follows the name, and there are two features: `<feature>_keys` is the
    list of the column's values in the window, in ascending order; `<feature>` is the list of the
    function's results for each of these values.

    Args:
        function: count, sum, mean, min, max, var_samp, var_pop, stddev_samp, stddev_pop, first,
            last, first_n, last_n, first_distinct_n, last_distinct_n, count_distinct,
            approx_count_distinct, percentile or approx_percentile.
        column: the column that is aggregated; `count` without one counts rows.
        windows: lengths such as `1h` or `7d`, multiples of the view's aggregation interval;
            `lifetime`; `Series(...)`; `Calendar(...)`.
        where: SQL condition on a row, in the warehouse's dialect; rows that fail it are left out.
        offset: shifts the windows into the past, such as `-1d`.
        n: the number of values, for first_n, last_n, first_distinct_n and last_distinct_n.
        q: the quantile, from 0 to 1, for percentile and approx_percentile: 0.5 is the median.
        by: a column that is a second key: the feature has a result for each of its values in the
            window; rows with null in it are left out.
        name: the features' name before the window.
        description: one sentence for other users.
    """

    function: str
    column: str | None = None
    windows: Sequence[str | Series | Calendar] = field(kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    offset: str = field(default="0s", kw_only=True)
    n: int | None = field(default=None, kw_only=True)
    q: float | None = field(default=None, kw_only=True)
    by: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)
