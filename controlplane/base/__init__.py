"""What every room may use: types and time, the ports to other systems, derived names, templates.

Nothing here knows what a feature is.
"""
