"""The DAG of one feature view: a static Python file that people read in Airflow's Code tab."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from controlplane.base import naming, template
from controlplane.base.types import format_duration, format_instant, utc
from controlplane.manifest.specs import AggregateSpec, AttributeSpec, Feature, Manifest, ViewSpec
from controlplane.manifest.timing import timing
from controlplane.manifest.windows import words
from controlplane.release.paths import program_path, sql_path
from controlplane.sql.views import FILES

WAREHOUSE = "plane_warehouse"
ONLINE = "plane_online"
# Airflow refuses a whole DAG if one of its tags has more characters.
_LONGEST_TAG = 100
# A JSON string is a Python string too, always in double quotes, as formatters of Python write it.
_encode = json.JSONEncoder(ensure_ascii=False).encode


def render_dag(
    manifest: Manifest,
    view: ViewSpec,
    *,
    warehouse_conn_id: str = WAREHOUSE,
    online_conn_id: str = ONLINE,
) -> str:
    """Render the Python text of the view's DAG. Equal manifests give equal bytes.

    Args:
        manifest: the project; the DAG is not scheduled beyond its `now`.
        view: one of its views.
        warehouse_conn_id: Airflow's connection to the warehouse.
        online_conn_id: Airflow's connection to the online store.
    """
    context = {"v": _Context(manifest, view, warehouse_conn_id, online_conn_id)}
    return template.render("airflow/view.py.j2", context)


@dataclass
class _Context:
    """The values of the template: Python expressions as text, and the DAG's documentation."""

    _manifest: Manifest
    _view: ViewSpec
    _warehouse_conn_id: str
    _online_conn_id: str

    @property
    def location(self) -> str:
        # It is in a comment of the DAG, which a line break in a file's name would end.
        return " ".join(str(self._view.location).split())

    @property
    def sdk(self) -> list[str]:
        names = {"DAG", "Asset", "ExceptionRetryPolicy", "Param", "RetryAction", "RetryRule"}
        if self.upstream:
            names |= {"AssetAll", "PartitionedAssetTimetable"}
        if any(mapper.startswith("IdentityMapper") for _, mapper in self.upstream):
            names.add("IdentityMapper")
        # The order of isort, constants first: people read the file, and a test lints it.
        return sorted(names, key=lambda name: (not name.isupper(), name))

    @property
    def ours(self) -> list[tuple[str, list[str]]]:
        if self.lean:
            return self._modules(["RunView"])
        online = ["BeginSync", "EndSync", "SyncShard"] if self.shards else ["Announce", "Sync"]
        operators = [
            "Check",
            "Publish",
            "Stage",
            "Unstage",
            *(online if self._view.online else ["Announce"]),
        ]
        return self._modules(operators)

    def _modules(self, operators: list[str]) -> list[tuple[str, list[str]]]:
        modules = [("controlplane.airflow.operators", sorted(operators))]
        mappers = {mapper.partition("(")[0] for _, mapper in self.upstream} - {"IdentityMapper"}
        if mappers:
            modules.insert(0, ("controlplane.airflow.mappers", sorted(mappers)))
        if not self.upstream:
            modules.append(("controlplane.airflow.timetable", ["IntervalTimetable"]))
        return modules

    @property
    def program(self) -> str:
        return _text(program_path(self._view.name))

    @property
    def dag_id(self) -> str:
        return _text(
            naming.dag_id(self._manifest.project, self._manifest.environment, self._view.name)
        )

    @property
    def offline(self) -> str:
        return self._asset(self._view.name, "offline")

    @property
    def online(self) -> str:
        return self._asset(self._view.name, "online") if self._view.online else ""

    @property
    def lean(self) -> bool:
        """Whether one task does all steps."""
        return self._view.tasks == "view"

    @property
    def shards(self) -> int:
        """The number of tasks that write online values; 0 if one task does the whole sync."""
        return self._view.sync_shards if self._view.sync_shards > 1 else 0

    @cached_property
    def upstream(self) -> list[tuple[str, str]]:
        """The assets that the view waits for, each with the mapper of its partitions."""
        views = [self._manifest.view(name) for name in self._view.upstream]
        return [(self._asset(view.name, "offline"), self._mapper(view)) for view in views]

    @property
    def timetable(self) -> str:
        view = self._view
        arguments = [_text(format_duration(view.schedule))]
        if view.delay:
            arguments.append(f"delay={_text(format_duration(view.delay))}")
        if view.phase:
            arguments.append(f"phase={_text(format_duration(view.phase))}")
        # Not the DAG's `end_date`: Airflow then also refuses runs that a person starts.
        until = timing(view).last
        if self._manifest.now is not None:
            due = timing(view).due(self._manifest.now)
            until = due.end if due is not None else view.start
        if until is not None:
            arguments.append(f"until={_text(format_instant(until))}")
        return ", ".join(arguments)

    @property
    def start(self) -> str:
        return _instant(self._view.start)

    @property
    def tags(self) -> list[str]:
        view = self._view
        own = [f"{key}:{value}" if value else key for key, value in view.tags.items()]
        tags = dict.fromkeys([self._manifest.project, self._manifest.environment, *own])
        return [_text(tag[:_LONGEST_TAG]) for tag in tags if tag]

    @property
    def owner(self) -> str:
        return _text(self._view.owner)

    @property
    def owner_link(self) -> str:
        owner = self._view.owner
        return _text(f"mailto:{owner}") if "@" in owner and not set(owner) & set(" ,;<>") else ""

    @property
    def warehouse_conn_id(self) -> str:
        return _text(self._warehouse_conn_id)

    @property
    def pool(self) -> str:
        return _text(naming.POOL)

    @property
    def online_conn_id(self) -> str:
        return _text(self._online_conn_id)

    @cached_property
    def sql(self) -> dict[str, str]:
        return {name: _text(sql_path(self._view.name, name)) for name in FILES}

    @property
    def doc(self) -> str:
        """The DAG's documentation: Markdown, escaped for the quotes of a docstring."""
        view, schema = self._view, self._manifest.schema
        entities = [e for e in self._manifest.entities if e.name in view.entities]
        keys = ", ".join(f"{name} {key_type}" for name, key_type in view.keys)
        due = f", {format_duration(view.delay)} after an interval's end" if view.delay else ""
        until = f" to {format_instant(view.end)}" if view.end is not None else ""
        facts = [
            ("Entities", f"{', '.join(e.name for e in entities)} ({keys})"),
            ("Sources", ", ".join(self._manifest.source(name).table for name in view.sources)),
            (
                "Schedule",
                (
                    f"every {format_duration(view.schedule)}{due}, from"
                    f" {format_instant(view.start)}{until}"
                ),
            ),
            ("Owner", view.owner),
            ("Defined at", str(view.location)),
            ("Version", view.fingerprint),
            (
                "Tables",
                f"`{schema}.{view.name}`, `{schema}.{naming.public_view(view.name, 'latest')}`",
            ),
            (
                "Online",
                (
                    f"yes, written in {self.shards} shards"
                    if self.shards
                    else "yes"
                    if view.online
                    else "no"
                ),
            ),
        ]
        lines = [
            f"### {view.name}",
            *([view.description] if view.description else []),
            "",
            "| | |",
            "|---|---|",
            *(f"| {_cell(name)} | {_cell(value)} |" for name, value in facts),
            "",
            "| feature | type | value |",
            "|---|---|---|",
            *(
                f"| {_cell(f.name)} | {_cell(f.type)} | {_cell(_meaning(f))} |"
                for f in view.features
            ),
            "",
            "A scheduled run computes its partition. A run that is triggered with `start` and",
            "`end` computes that range; a run that is triggered without them computes the last",
            "interval that is due.",
        ]
        text = "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())
        return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')

    def _asset(self, view: str, store: str) -> str:
        return _text(
            naming.asset_uri(self._manifest.project, self._manifest.environment, view, store)
        )

    def _mapper(self, upstream: ViewSpec) -> str:
        ours, theirs = self._view.schedule, upstream.schedule
        if ours == theirs:
            return "IdentityMapper()"
        arguments = (
            f"upstream={_text(format_duration(theirs))}, schedule={_text(format_duration(ours))}"
        )
        # Airflow's own mappers know only hours, days and ISO weeks.
        if ours < theirs:
            return f"FanOut({arguments})"
        if self._view.phase:
            arguments += f", phase={_text(format_duration(self._view.phase))}"
        # Upstream partitions outside its start and end never run: RollUp must not wait for them.
        if upstream.start > self._view.start:
            arguments += f", since={_text(format_instant(upstream.start))}"
        last = timing(upstream).last
        if last is not None:
            arguments += f", until={_text(format_instant(last))}"
        return f"RollUp({arguments})"


def _text(value: str) -> str:
    return _encode(value)


def _instant(value: datetime) -> str:
    parts = [*utc(value).timetuple()[:6], value.microsecond]
    while len(parts) > 3 and not parts[-1]:
        parts.pop()
    return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _meaning(feature: Feature) -> str:
    if isinstance(feature, AttributeSpec):
        text = f"last `{feature.column}`"
    elif isinstance(feature, AggregateSpec):
        rows = f"`{feature.column}`" if feature.column else "rows"
        text = f"{feature.function} of {rows} over {words(feature.window)}"
        text += f", offset {format_duration(feature.offset)}" if feature.offset else ""
        text += (
            f", {'the values' if feature.lists_keys else 'for each value'} of `{feature.by[0]}`"
            if feature.by
            else ""
        )
        text += f", where `{feature.where}`" if feature.where else ""
    return f"{text}. {feature.description}" if feature.description else text
