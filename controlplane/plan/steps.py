"""The steps of a deploy: a closed union of frozen data, which the executor runs in order.

A step holds its statements if they are known when the plan is made. Other statements depend on the
state of the warehouse when the step runs; `description` describes them. Every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from controlplane.base.ports import Statement
from controlplane.control.ledger import Requirement


class UpgradeControlTables(
    msgspec.Struct, frozen=True, tag_field="kind", tag="upgrade_control_tables"
):
    """Migrate the control tables to the version of this controlplane."""


class TakeSchema(msgspec.Struct, frozen=True, tag_field="kind", tag="take_schema"):
    """Become the owner of the schema; with `adopt` also where another environment owns it."""

    schema: str
    adopt: bool = False


class RepairTables(msgspec.Struct, frozen=True, tag_field="kind", tag="repair_tables"):
    """Remove the records of a damaged version's lost data, and drop its altered tables."""

    view: str
    statements: tuple[Statement, ...]


class CreateTables(msgspec.Struct, frozen=True, tag_field="kind", tag="create_tables"):
    """Create the missing tables of a view's version."""

    view: str
    statements: tuple[Statement, ...]


class WriteRelease(msgspec.Struct, frozen=True, tag_field="kind", tag="write_release"):
    """Write the files that Airflow reads, unless they exist, and point `CURRENT` to them."""

    digest: str


class RecordVersions(msgspec.Struct, frozen=True, tag_field="kind", tag="record_versions"):
    """Record the deployed version of each view, so that runs of earlier releases show nothing."""

    statements: tuple[Statement, ...]


class ShowVersion(msgspec.Struct, frozen=True, tag_field="kind", tag="show_version"):
    """Point the public views to a version, if `control.ledger.Versions.may_show` allows it then.

    `requires` is how far the version must be computed. Public views that show the version already
    are created again only with `refresh`.
    """

    view: str
    fingerprint: str
    statements: tuple[Statement, ...]
    requires: Requirement = "all_due"
    refresh: bool = False


class HidePublicViews(msgspec.Struct, frozen=True, tag_field="kind", tag="hide_public_views"):
    """Drop the public views of a feature view that is no longer declared."""

    view: str
    statements: tuple[Statement, ...]


class ServeVersions(msgspec.Struct, frozen=True, tag_field="kind", tag="serve_versions"):
    """Point online readers to the versions that the public views show, if they were synced."""


class RecordDeployment(msgspec.Struct, frozen=True, tag_field="kind", tag="record_deployment"):
    """Record the deployment in the state database; until then, a new plan is not empty."""


class RecordOwner(msgspec.Struct, frozen=True, tag_field="kind", tag="record_owner"):
    """Record the deployment in the warehouse.

    It comes after the record in the state database: if it fails, the next deploy repeats it.
    """

    schema: str


Step = (
    UpgradeControlTables
    | TakeSchema
    | RepairTables
    | CreateTables
    | WriteRelease
    | RecordVersions
    | ShowVersion
    | HidePublicViews
    | ServeVersions
    | RecordDeployment
    | RecordOwner
)

_REQUIRED = {
    "all_due": "computed for all intervals that are due",
    "first_interval": "computed for its first interval",
    "nothing": "the deployed version",
}


def title(step: Step) -> str:
    """Name a step in a few words, for progress."""
    match step:
        case UpgradeControlTables():
            return "control tables"
        case TakeSchema():
            return "owner"
        case RepairTables(view):
            return f"repair of {view}"
        case CreateTables(view):
            return f"tables of {view}"
        case WriteRelease():
            return "release"
        case RecordVersions():
            return "versions"
        case ShowVersion(view):
            return f"public views of {view}"
        case HidePublicViews(view):
            return f"drop public views of {view}"
        case ServeVersions():
            return "online values"
        case RecordDeployment():
            return "record"
        case RecordOwner():
            return "record in the warehouse"
        case _ as never:
            assert_never(never)


def description(step: Step) -> str:
    """Describe a step and its condition."""
    match step:
        case UpgradeControlTables():
            return "Bring the control tables up to date, if they are of an earlier version"
        case TakeSchema(schema, adopt):
            return f"Become the owner of schema {schema}" + ("" if adopt else ", if it has none")
        case RepairTables(view):
            return f"Repair the tables of feature view {view}"
        case CreateTables(view):
            return f"Create the tables of feature view {view}"
        case WriteRelease(digest):
            return f"Write release {digest} for Airflow"
        case RecordVersions():
            return "Record the deployed versions"
        case ShowVersion(view, fingerprint, requires=requires, refresh=refresh):
            again = "" if refresh else " and not shown yet"
            return (
                f"Show version {fingerprint} of feature view {view}, if it is"
                f" {_REQUIRED[requires]}{again}"
            )
        case HidePublicViews(view):
            return f"Drop the public views of feature view {view}"
        case ServeVersions():
            return "Point online readers to the versions that the public views show"
        case RecordDeployment():
            return "Record the deployment in the state database"
        case RecordOwner(schema):
            return f"Record the deployment as the last one to schema {schema}"
        case _ as never:
            assert_never(never)


def statements(step: Step) -> tuple[Statement, ...]:
    """Return the statements of a step; none if they depend on the warehouse when it runs."""
    match step:
        case (
            RepairTables(statements=known)
            | CreateTables(statements=known)
            | RecordVersions(known)
            | ShowVersion(statements=known)
            | HidePublicViews(statements=known)
        ):
            return known
        case (
            UpgradeControlTables()
            | TakeSchema()
            | WriteRelease()
            | ServeVersions()
            | RecordDeployment()
            | RecordOwner()
        ):
            return ()
        case _ as never:
            assert_never(never)


def sql(steps: Iterable[Step]) -> Iterator[str]:
    """Yield the steps as lines of SQL: a comment with the description, then the statements."""
    for step in steps:
        yield f"-- {description(step)}."
        for statement in statements(step):
            yield f"{statement.sql};"
        yield ""
