"""A source whose table is not there, and one that is no table at all."""

from controlplane import BatchSource

lost = BatchSource("lost", table="raw.lost", timestamp="ts")
odd = BatchSource("odd", table="SELECT 1")
