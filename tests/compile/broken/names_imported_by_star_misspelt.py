"""Case B17: a definition that is called by a wrong name, after an import of everything."""

from controlplane import *  # noqa: F403

rule = Agregate("count", windows=["1h"])  # noqa: F405
