"""The command line `plane`: parse arguments, call `controlplane.api`, print, return an exit code.

There is one module per command, and only this room imports typer and rich. `app` assembles the
commands, `lazy` imports the command that is called, and `failures` turns errors into exit codes:
0 done, 1 expected failure, 2 wrong usage or changes found, 3 a bug. Only `present`, `plans` and
`verdicts` print.
"""
