"""`python -m lewm_core`: see `commands`."""

import sys

from lewm_core.commands import main

sys.exit(main())
