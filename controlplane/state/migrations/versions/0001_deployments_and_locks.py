"""Deployments and the lock against a second deploy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "plane_deployment",
        sa.Column("id", sa.Integer, autoincrement=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("deployed_by", sa.Text, nullable=False),
        sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="plane_deployment_pkey"),
    )
    op.create_index("plane_deployment_newest", "plane_deployment", ["project", "environment", "id"])
    op.create_table(
        "plane_lock",
        sa.Column("project", sa.Text),
        sa.Column("environment", sa.Text),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "environment", name="plane_lock_pkey"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("plane_lock")
    op.drop_table("plane_deployment")
