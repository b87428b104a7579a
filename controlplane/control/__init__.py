"""Every table of `_plane`: what is computed, shown and owned, and what went missing.

`sql.control_tables` declares their names and columns, since a release's SQL is rendered from them.
`ledger` reads what is computed and shown, `identity` and `owners` read and write what they are
named after. `migrations` brings the tables of an earlier version up to date, `drift` compares what
was deployed with the warehouse, and `repair` undoes false claims.
"""
