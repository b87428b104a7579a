"""A file that fails while it is run."""

limit = 1 / 0
