"""Case B17: an argument by a wrong name."""

from controlplane import Entity

lost = Entity("lost", keys={"k": "string"}, ownr="team@example.com")
