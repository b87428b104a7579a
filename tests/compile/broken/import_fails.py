"""A file that imports what is not there."""

import nowhere

limit = nowhere.limit
