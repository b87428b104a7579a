"""What a deploy would change, as data.

`actions` is the closed union of changes, `diff` finds them between two manifests, `forecast` says
which intervals will be computed, `plan` is all of it with a checksum. Pure: an executor (`deploy`)
and an explainer (`cli`) read it.
"""
