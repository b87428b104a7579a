"""What runs inside a team's Airflow; only this room imports airflow.

Scheduling: `timetable` and `mappers` (registered by `plugin`), `bundle` reads releases. Tasks:
`operators` are thin and light to parse, `work` is what they do once they run, `window` the stretch
of time that a run computes, `hooks` open what Airflow's connections name. `provider` tells Airflow
of the connection types.
"""
