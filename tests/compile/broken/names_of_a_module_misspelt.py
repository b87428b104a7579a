"""Case B17: an expectation that is called by a wrong name."""

from controlplane import expect

rule = expect.notnull("amt")
