"""The current tables of the state.

`migrations` creates them step by step; a test checks that the result is the same.

All names begin with `plane_`, since a team may use a database that has other tables (Airflow's, for
example).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from controlplane.base.types import utc
from controlplane.state import deployment

VERSION_TABLE = "plane_state_version"
REVISION = deployment.REVISION


class Instant(TypeDecorator[datetime]):
    """An instant; stored in UTC, and read as a datetime with time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else utc(value)


metadata = MetaData()

deployments = Table(
    "plane_deployment",
    metadata,
    Column("id", Integer, autoincrement=True),
    Column("project", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("deployed_by", Text, nullable=False),
    Column("deployed_at", Instant, nullable=False),
    PrimaryKeyConstraint("id", name="plane_deployment_pkey"),
    Index("plane_deployment_newest", "project", "environment", "id"),
)

locks = Table(
    "plane_lock",
    metadata,
    Column("project", Text),
    Column("environment", Text),
    Column("token", String(32), nullable=False),
    Column("holder", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("acquired_at", Instant, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    PrimaryKeyConstraint("project", "environment", name="plane_lock_pkey"),
)

version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
