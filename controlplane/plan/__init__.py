"""The changes that a deploy would make, as data.

`actions` is the closed union of changes, `diff` finds them between two manifests, `forecast` lists
the intervals to compute, and `plan` is all of it with a checksum. `steps` is the closed union of a
deploy's steps, and `sequence` puts them in order. The package is pure: `deploy` runs a plan, `cli`
shows it.
"""
