"""The code that runs inside a team's Airflow; only this room imports airflow.

Scheduling: `timetable` and `mappers` (registered by `plugin`); `bundle` reads releases. Tasks:
`operators` are light to parse, `work` does their work when they run, `window` chooses the interval
of a run, and `hooks` open Airflow's connections. `provider` describes the connection types.
"""
