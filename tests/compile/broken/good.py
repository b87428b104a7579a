"""What the broken files beside this one share: an entity and a source that are right."""

from controlplane import BatchSource, Entity

thing = Entity("thing", keys={"k": "string"}, owner="team@example.com")
events = BatchSource("events", table="raw.events", timestamp="ts")
