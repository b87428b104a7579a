"""Compute intervals, in the tasks of a DAG or without Airflow.

`tasks` has the steps of one run (stage, check, publish, activate, unstage), and `run` runs them one
after the other. The package doesn't depend on its callers.
"""
