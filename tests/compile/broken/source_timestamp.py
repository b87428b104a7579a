"""A timestamp that the table lacks, one that is text, and a delay without any."""

from controlplane import BatchSource

lacks = BatchSource("lacks", table="raw.events", timestamp="nope")
text = BatchSource("text", table="raw.events", timestamp="word")
waits = BatchSource("waits", table="raw.events", settling_delay="1h")
