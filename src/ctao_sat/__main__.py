"""Run the command line as ``python -m ctao_sat``."""

import sys

from ctao_sat.cli import main

if __name__ == "__main__":
    sys.exit(main())
