"""What every command line shares: errors in one line, exit codes, and the arguments they have in common."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
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

    def add_settings(self, reward_set_help: str = "built-in set or YAML file") -> None:
        """The options that say what is paid, and on which task: they read alike in every command."""
        self.add_argument("--reward-set", metavar="NAME", help=reward_set_help)
        self.add_argument("--task", metavar="NAME", help="section001 (default), section001-near, -mid, -far, -contest")
        self.add_argument(
            "--config", type=Path, metavar="FILE", help="YAML file of settings; a run's config.yaml is one"
        )
        self.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a file with reward terms")
        self.add_argument("--set", action="append", default=[], dest="assignments", metavar="KEY=VALUE")

    def add_no_archive(self) -> None:
        self.add_argument("--no-archive", action="store_true", help="keep it out of the reward library and REPORT.md")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def refuse_beside_resume(given: argparse.Namespace, what: str) -> None:
    """UserError if anything but --quiet and --no-archive stands beside --resume: ``what`` goes on as it was."""
    for name, value in vars(given).items():
        # By identity: a seed of 0 equals False, and was given all the same.
        if name not in ("resume", "quiet", "no_archive") and value is not None and value is not False and value != []:
            option = "--set" if name == "assignments" else f"--{name.replace('_', '-')}"
            raise UserError(f"--resume goes on with {what}; {option} cannot be changed")
