"""How the platform is: what is computed and how fresh it is, what the online store holds, what stands in the way.

Only reads. `status` is per feature view, `doctor` checks connections and settings.
"""
