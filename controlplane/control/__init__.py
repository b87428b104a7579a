"""Every table of `_plane`: what is computed, shown and owned, and what is missing.

`sql.control_tables` declares the names and columns, since a release's SQL is rendered from them.
`ledger` reads the computed intervals and the shown versions. `identity` and `owners` read and write
the tables of these names. `migrations` upgrades the tables of an earlier version, `drift` compares
the deployed objects with the warehouse, and `repair` removes false entries.
"""
