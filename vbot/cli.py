"""What every command line shares: errors in one line, exit codes, and the arguments they have in common."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from vbot.errors import DivergedError, UserError


def run_command(main: Callable[[], None]) -> None:
    """Run a command; a mistake of the user ends it with one line on stderr and exit code 2 (divergence: 3)."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(3 if isinstance(error, DivergedError) else 2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """argparse, its errors in one line as ours are, and no abbreviated options, which scripts would come to need."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")
