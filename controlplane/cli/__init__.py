"""The command line `plane`: arguments in, one call, exit code out.

One file for each command; the only room with typer and rich. `app` puts the commands together and
turns errors into exit codes (0 done, 1 expected failure, 2 wrong usage or changes found, 3 a bug);
`present` is the only one that prints.
"""
