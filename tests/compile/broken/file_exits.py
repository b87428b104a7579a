"""Case B17: a file that ends the process; the command ended in silence."""

import sys

sys.exit(3)
