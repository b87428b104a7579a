"""What `_plane` says of a warehouse as a whole: its identity, who owns a schema, and what went missing.

`tables` owns the names, columns and DDL of these tables, `identity` and `owners` read and write
them, `claims` records in an online store whose values it holds. `drift` and `served` compare what
was deployed with what the warehouse and the online store have, and `repair` undoes false claims.
"""
