"""What the online store holds besides values, and how values get there.

`records` has cursors, pointers and claims as typed records; no other module knows how they are
stored. `syncing` writes what was published, whole or in shards. `reconcile` compares it with the
warehouse, `removal` deletes a version, and `takeover` replaces the values of another warehouse.
"""
