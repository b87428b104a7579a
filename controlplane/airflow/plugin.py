"""The classes that Airflow's scheduler needs to read this package's DAGs from its database."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from controlplane.airflow.mappers import FanOut, RollUp
from controlplane.airflow.timetable import IntervalTimetable


class ControlplanePlugin(AirflowPlugin):
    """Registered by the entry point `airflow.plugins`."""

    name = "controlplane"
    timetables = [IntervalTimetable]  # noqa: RUF012 -- as Airflow declares it
    partition_mappers = [FanOut, RollUp]  # noqa: RUF012 -- as Airflow declares it
