"""The basis of all rooms: types and time, ports to other systems, derived names, templates.

Nothing here knows what a feature is.
"""
