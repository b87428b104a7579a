"""From definition files to a checked manifest.

`loader` runs the definition files. `project` checks every definition against the rules and the
warehouse's columns, and reports all problems at once. `evaluation` proves which views are row by
row. The warehouse is asked only for columns and the types of expressions; nothing is written.
"""
