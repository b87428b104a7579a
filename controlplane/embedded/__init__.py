"""Embedded servers for the laptop: a Valkey and an Airflow that belong to one project folder.

They are ordinary processes of the user that listen only on 127.0.0.1. They outlive the command that
starts them, and are stopped together with all processes that they started.
"""
