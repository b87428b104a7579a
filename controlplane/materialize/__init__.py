"""Computes intervals: what a task of a DAG does, and the same without Airflow.

`tasks` are the steps of one run (stage, check, publish, activate, unstage); `run` does one after
the other. Nothing here knows who calls it.
"""
