"""Case B17: an entity of nobody."""

from controlplane import Entity

lost = Entity("lost", keys={"k": "string"})
