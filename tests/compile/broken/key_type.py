"""Keys that can not be keys: a double, no key at all, a name of ours."""

from controlplane import Entity

by_price = Entity("by_price", keys={"price": "float64"}, owner="team@example.com")
by_nothing = Entity("by_nothing", keys={}, owner="team@example.com")
by_version = Entity("by_version", keys={"version": "int64"}, owner="team@example.com")
