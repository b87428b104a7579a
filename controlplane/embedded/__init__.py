"""Embedded servers for the laptop: a Valkey and an Airflow that belong to one project folder.

They run as ordinary processes of the user, listen on 127.0.0.1 alone, outlive the command that
started them and are stopped as a whole.
"""
