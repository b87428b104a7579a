"""From files to one checked, frozen manifest.

`loader` runs the definition files, `compile` checks every definition against the rules and the warehouse's own
columns and reports all problems at once, `manifest` is the result (JSON both ways), `schedule` its time algebra,
`graph` the order of views. The warehouse is only asked for columns; nothing is written.
"""
