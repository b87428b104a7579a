"""One manifest as files: SQL, programs and DAGs, whose bytes depend on nothing else.

`variables` are what a run fills in. Nothing is written here.
"""
