"""Computes intervals, as tasks of a DAG do and without Airflow.

`tasks` has the steps of a run (stage, check, publish, activate, unstage); `run` calls them one
after the other. No module here depends on its caller.
"""
