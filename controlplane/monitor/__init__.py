"""Reports on the platform: what is computed, how fresh it is, and what is wrong.

It only reads, but for the doctor's probes of rights.
"""
