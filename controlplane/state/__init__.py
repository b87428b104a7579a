"""The record of all deployments and the locks of running deploys, in SQLite or PostgreSQL.

The state stores a manifest as text and never parses it. Only this room uses sqlalchemy and alembic,
and only `state.store` imports them: a plan, a run and a read need no more than `glance`.
"""

from controlplane.state.deployment import Deployment, absent, glance

__all__ = ["Deployment", "absent", "glance"]
