"""`python -m lewm_core`: see `commands`."""

import sys

from lewm_core.runner.commands import main

sys.exit(main())
