"""``python -m syftd`` is the same program as the ``syftd`` command."""

import sys

from syftd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
