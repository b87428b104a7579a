"""What the tasks of one view need to know beside their SQL: one small JSON document in the
release."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from controlplane.base import naming
from controlplane.codec import Field, Layout
from controlplane.errors import Location, PlaneError
from controlplane.manifest.specs import AggregateSpec, Manifest, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import Timing, read_start, timing
from controlplane.sql import control_tables
from controlplane.sql.aggregates import default
from controlplane.sql.control_tables import LEDGER, PUBLIC_VIEWS
from controlplane.sql.dialects import dialect
from controlplane.sql.rollups import Cover, cover
from controlplane.sql.rows import evaluated_together, source_table


class Upstream(msgspec.Struct, frozen=True):
    """One version of a view that another reads, and its head."""

    view: str
    head: str
    timing: Timing
    static: bool

    def needed(self, end: datetime) -> datetime:
        """How far it must be computed, for all rows that count from before `end`."""
        times = self.timing
        # Rows count from the end of an interval + D on; the last such end before `end` is asked
        # for.
        last = times.ceil(end - times.delay) - times.schedule
        if self.static:
            last = min(last, times.start + times.schedule)
        return last if times.last is None else min(last, times.last)


class Program(msgspec.Struct, frozen=True):
    """One version of one view, as its tasks see it. `sources` is table -> column -> type at the
    time of the deploy; `steps` says that its stage has a statement for each interval. Only
    Airflow's workers of an earlier version read `ledger` and `doors`."""

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
    sources: dict[str, dict[str, str]]
    ledger: str
    head: str
    doors: str
    layout: Layout
    # Releases of earlier versions run on after an upgrade.
    location: Location = msgspec.field(name="place")
    upstream: tuple[Upstream, ...] = ()
    cover: Cover | None = None
    steps: bool = False

    @property
    def namespace(self) -> str:
        """First part of the view's Redis keys."""
        return naming.namespace(self.project, self.environment)

    @property
    def feature_view(self) -> str:
        """How the ledger calls the view: `schema.view`."""
        return f"{self.schema}.{self.view}"

    def tag(self, step: str) -> str:
        """The query tag of one of its tasks."""
        return naming.query_tag(self.project, self.environment, self.view, self.owner, step)


def build(manifest: Manifest, view: ViewSpec) -> Program:
    """The program of one view of a manifest."""
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
        cover=cover(view) if d.framed else None,
        steps=not evaluated_together(manifest, view, d),
    )


def layout(view: ViewSpec) -> Layout:
    """How the view's rows look online: its keys, and its features with their defaults, in declared
    order."""
    fields = tuple(
        Field(
            name=f.name, type=f.type, default=default(f) if isinstance(f, AggregateSpec) else None
        )
        for f in view.features
    )
    return Layout(keys=view.keys, fields=fields, ttl=view.ttl)


def to_json(program: Program) -> str:
    """The program's one JSON text."""
    return (
        msgspec.json.format(msgspec.json.encode(program, order="sorted"), indent=2).decode() + "\n"
    )


def from_json(text: str) -> Program:
    """The program that `to_json` wrote.

    Raises:
        PlaneError: the text is not a program of this version.
    """
    try:
        return msgspec.json.decode(text, type=Program)
    except msgspec.DecodeError as error:
        raise PlaneError(
            f"a program of the release can't be read: {error}", hint="deploy again"
        ) from None
