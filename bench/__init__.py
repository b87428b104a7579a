"""Measured speeds: each row is ours against the raw limit or a rival, in one run on one machine.

Never a test.
"""
