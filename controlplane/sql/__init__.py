"""Manifest -> SQL for the warehouse.

`dialects` is what differs between warehouses, `aggregates` the algebra of partial aggregates,
`views` and `training` the statements. Pure: nothing is read but templates.
"""
