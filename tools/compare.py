#!/usr/bin/env python3
"""Compare runs: ``python tools/compare.py runs/*``. The work is done by vbot.comparison."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without being installed

from vbot.cli import run_command
from vbot.comparison.__main__ import main

if __name__ == "__main__":
    run_command(main)
