"""What a task of a DAG does, and the same without Airflow.

`variables` fills in what a run decides, `tasks` are the steps of one run (stage, check, publish, activate, unstage) and
`syncing` is the one between publish and activate, whole or in shards; `materialize` runs the steps one after the other.
Nothing here knows who calls it.
"""
