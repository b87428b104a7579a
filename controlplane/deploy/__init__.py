"""Apply a plan.

`preview` asks the warehouse about the plan, `executor` runs its steps, and `release_files` writes
the files of a release.
"""
