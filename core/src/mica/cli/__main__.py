"""``python -m mica.cli``."""

import sys

from mica.cli import main

sys.exit(main())
