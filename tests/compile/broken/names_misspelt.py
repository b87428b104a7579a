"""Case B17: a definition that is imported by a wrong name."""

from controlplane import Agregate, Entity

thing_of_ours = Entity("thing_of_ours", keys={"k": "string"}, owner="team@example.com")
other = Agregate("count", windows=["1h"])
