"""Case B17: types of keys that are none; other types than those of keys are not offered."""

from controlplane import Entity

misspelt = Entity("misspelt", keys={"k": "int"}, owner="team@example.com")
