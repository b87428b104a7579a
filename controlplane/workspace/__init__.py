"""A project on disk: its settings, its open connections, its compiled manifest, and the first files
of a new one.

`connectors` is the only door to connectors. A model's process imports `project`, which therefore
imports no compiler.
"""
