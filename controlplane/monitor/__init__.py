"""How the platform is: what is computed and how fresh it is, and what stands in the way.

Only reads.
"""
