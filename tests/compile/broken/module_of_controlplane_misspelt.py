"""Case B17: a module of controlplane that does not exist; the hint was to install it."""

from controlplane.definition import Entity

thing_of_ours = Entity("thing_of_ours", keys={"k": "string"}, owner="team@example.com")
