"""The checked definitions as frozen data, with all names resolved.

`specs` are the definitions, `windows` their windows, `expectations` their checks, `functions` the
table of aggregate functions, `timing` the time algebra of a view, `stored` the JSON form. Nothing
here parses SQL, does I/O or reads a clock.
"""
