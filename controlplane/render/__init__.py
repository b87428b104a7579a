"""Manifest -> text: SQL for the warehouse, DAGs for Airflow, as one release whose bytes depend on nothing else.

Pure: nothing is read but templates and nothing is written. `dialects` is what differs between warehouses, `aggregates`
the algebra of partial aggregates, `views` and `training` the SQL, `program` what a task of a view needs to know,
`release` all files together.
"""
