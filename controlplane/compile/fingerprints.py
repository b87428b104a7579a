"""The fingerprint of a view: a digest of everything that decides its values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from controlplane.compile import transformation
from controlplane.manifest.functions import sum_fits
from controlplane.manifest.specs import (
    AggregateSpec,
    AttributeSpec,
    Feature,
    IntervalByInterval,
    SourceSpec,
    ViewSpec,
)

TABLES = 3
"""The form of a view's own tables.

It is raised when the form changes: the fingerprints change, and new tables replace the old ones.
"""
_TOTALS = 4
"""The form of tables with float sums: for means of decimals whose exact sum fits no type."""


def fingerprint(
    view: ViewSpec,
    canonical_sql: str,
    sources: Sequence[SourceSpec],
    upstream: Sequence[str],
    dialect: str,
) -> str:
    """Return eight hex digits of everything that decides the view's values.

    Nothing else changes them: not its owner, its description or the order of its tags.

    Args:
        view: the compiled view, without a fingerprint.
        canonical_sql: its SQL in one spelling.
        sources: that it reads.
        upstream: the fingerprints of the views that it reads.
        dialect: of its conditions.
    """
    total = any(
        isinstance(feature, AggregateSpec)
        and feature.function == "mean"
        and not sum_fits(feature.column_type or "int64")
        for feature in view.features
    )
    decides = (
        _TOTALS if total else TABLES,
        view.name,
        view.keys,
        canonical_sql,
        view.timestamp,
        view.tie_breaker,
        [_decisive(feature, dialect) for feature in view.features],
        view.schedule,
        view.tile,
        view.phase,
        view.delay,
        view.start,
        view.ttl,
        [(s.name, s.table, s.timestamp) for s in sources],
        *([upstream] if upstream else []),
        *_later(view, sources),
    )
    # Every change of a type here changes the JSON, and so the fingerprints of deployed views.
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:8]


def _later(view: ViewSpec, sources: Sequence[SourceSpec]) -> Iterator[object]:
    """Yield what decides values and was added after the first deployments.

    It is left out at its default, so that the fingerprints of earlier deployments stay the same.
    """
    # Such a view had other values while all views were computed over several intervals at once.
    if isinstance(view.evaluation, IntervalByInterval):
        yield "interval by interval", [source.lookback for source in sources]
    if view.bounds is not None:
        yield view.bounds
    if times := [
        (source.name, source.time_sql, source.pruning) for source in sources if source.time_sql
    ]:
        yield times


def _decisive(feature: Feature, dialect: str) -> Feature:
    if isinstance(feature, AttributeSpec) or feature.where is None:
        return msgspec.structs.replace(feature, description="")
    where = transformation.canonical_condition(feature.where, dialect)
    return msgspec.structs.replace(feature, description="", where=where)
