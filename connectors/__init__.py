"""Drivers of the systems that a team already runs, each behind one port of at most 8 methods.

A connector knows statements, rows and keys, and nothing of what they are for. It imports only
ports, codec, types and errors, besides its own driver, and is loaded by entry point: nobody imports
it by name.
"""
