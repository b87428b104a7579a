"""The command line: arguments in, one call, exit code out. Only this room knows typer, and only `present` prints."""
