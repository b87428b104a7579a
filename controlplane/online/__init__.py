"""What the online store holds beside values: cursors, pointers, claims; and how values get there.

`records` holds the typed records of cursors, pointers and claims, and their one codec. `syncing` brings what was published, whole or in shards; `reconcile` compares it with the warehouse,
`removal` deletes a version, `takeover` makes another's values ours.
"""
