"""What the online store holds besides values: cursors, pointers, claims; and how values get there.

`records` has these three as typed records, and alone knows how they are stored. `syncing` brings
what was published, whole or in shards; `reconcile` compares it with the warehouse, `removal`
deletes a version, `takeover` makes another's values ours.
"""
