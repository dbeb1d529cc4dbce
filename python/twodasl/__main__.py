"""`python -m twodasl`: the same as the command `twodasl`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
