"""The program of a view: a JSON document in the release that its tasks read next to their SQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from controlplane.base import naming
from controlplane.codec import Layout
from controlplane.errors import Location, PlaneError
from controlplane.manifest.specs import Manifest, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import Timing, read_start, timing
from controlplane.release.layout import layout
from controlplane.sql import control_tables
from controlplane.sql.control_tables import LEDGER, PUBLIC_VIEWS
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import long_sums
from controlplane.sql.rollups import Cover, cover
from controlplane.sql.rows import evaluated_together, source_table


class Upstream(msgspec.Struct, frozen=True):
    """One version of a view that another view reads, and the quoted name of its head table."""

    view: str
    head: str
    timing: Timing
    static: bool

    def needed(self, end: datetime) -> datetime:
        """Return how far it must be computed, so that all rows visible before `end` exist."""
        times = self.timing
        # Rows are visible from the end of their interval plus the settling delay on: the last such
        # end before `end` decides.
        last = times.ceil(end - times.delay) - times.schedule
        if self.static:
            last = min(last, times.start + times.schedule)
        return last if times.last is None else min(last, times.last)


class Program(msgspec.Struct, frozen=True):
    """One version of one view for its tasks.

    Attributes:
        sources: table -> column -> type at the time of the deploy.
        ledger: read only by Airflow's workers of earlier versions of controlplane.
        head: the quoted name of the head table.
        doors: read only by Airflow's workers of earlier versions of controlplane.
        steps: whether the stage has a statement for each interval.
        long_sums: the features whose sums may be too long for any decimal.
    """

    project: str
    environment: str
    schema: str
    view: str
    fingerprint: str
    owner: str
    static: bool
    online: bool
    timing: Timing
    lateness: timedelta
    now: datetime | None
    read_start: datetime
    # Stored, so that a run notices columns that are gone or have another type since the deploy.
    sources: dict[str, dict[str, str]]
    ledger: str
    head: str
    doors: str
    layout: Layout
    # The JSON keeps the old name: releases of earlier versions still run after an upgrade.
    location: Location = msgspec.field(name="place")
    upstream: tuple[Upstream, ...] = ()
    # Stored, not computed by the worker: the release's SQL numbers the windows as this cover does.
    cover: Cover | None = None
    steps: bool = False
    long_sums: tuple[str, ...] = ()

    @property
    def namespace(self) -> str:
        """The first part of the view's Redis keys."""
        return naming.namespace(self.project, self.environment)

    @property
    def feature_view(self) -> str:
        """The view's name in the ledger: `schema.view`."""
        return f"{self.schema}.{self.view}"

    def tag(self, step: str) -> str:
        """Return the query tag of one of its tasks."""
        return naming.query_tag(self.project, self.environment, self.view, self.owner, step)


def build(manifest: Manifest, view: ViewSpec) -> Program:
    """Build the program of one view of a manifest."""
    d = dialect(manifest.dialect)
    return Program(
        project=manifest.project,
        environment=manifest.environment,
        schema=manifest.schema,
        view=view.name,
        fingerprint=view.fingerprint,
        owner=view.owner,
        static=isinstance(view, StaticViewSpec),
        online=view.online,
        timing=timing(view),
        lateness=view.lateness,
        now=manifest.now,
        read_start=read_start(view),
        sources={
            source_table(manifest, source): dict(source.columns)
            for source in (manifest.source(name) for name in view.sources)
        },
        upstream=tuple(
            Upstream(
                view=name,
                head=control_tables.head(
                    manifest.schema, name, manifest.view(name).fingerprint
                ).quoted(d),
                timing=timing(manifest.view(name)),
                static=isinstance(manifest.view(name), StaticViewSpec),
            )
            for name in view.upstream
        ),
        ledger=LEDGER.quoted(d),
        head=control_tables.head(manifest.schema, view.name, view.fingerprint).quoted(d),
        doors=PUBLIC_VIEWS.quoted(d),
        layout=layout(view),
        location=view.location,
        cover=cover(view) if d.rollups else None,
        steps=not evaluated_together(manifest, view, d),
        long_sums=long_sums(view),
    )


def to_json(program: Program) -> str:
    """Encode a program; equal programs give equal texts."""
    return (
        msgspec.json.format(msgspec.json.encode(program, order="sorted"), indent=2).decode() + "\n"
    )


def from_json(text: str) -> Program:
    """Decode a program that `to_json` wrote.

    Raises:
        PlaneError: the text is not a program of this version of controlplane.
    """
    try:
        return msgspec.json.decode(text, type=Program)
    except msgspec.DecodeError as error:
        raise PlaneError(
            f"a program of the release can't be read: {error}", hint="deploy again"
        ) from None
