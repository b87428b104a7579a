"""What was deployed where, by whom and when, and who deploys right now; in SQLite or in PostgreSQL.

A deployment is kept as the text that it was given: this room doesn't know what a manifest says. It
is the only one that speaks to a database through sqlalchemy and alembic, and these are imported
with `state.store` alone: a plan, a run and a read need no more than `glance`.
"""

from controlplane.state.deployment import Deployment, absent, glance

__all__ = ["Deployment", "absent", "glance"]
