"""Every table of `_plane`: what is computed, shown and owned, and what went missing.

`ledger` reads what is computed and shown. `tables` holds names, columns and DDL, `identity` and
`owners` read and write them, `drift` compares what was deployed with the warehouse, and `repair`
undoes false claims.
"""
