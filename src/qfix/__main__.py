"""`python -m qfix`: the command line."""

import sys

from qfix.cli import main

sys.exit(main())
