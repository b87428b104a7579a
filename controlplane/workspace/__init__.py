"""A project on disk: its settings, its open connections, and the first files of a new one.

`project` is the only opener of connectors.
"""
