"""Render a manifest as files: SQL, programs and DAGs. Equal manifests give equal bytes.

`variables` are the values that a run fills in. Nothing is written to disk here.
"""
