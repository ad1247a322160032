"""The command line ``ctao-sat``: parse, call, write.

Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 data, 4 no convergence, 5 partial result,
130 interrupted.
"""

import os
import sys
import traceback
from collections.abc import Sequence

import click

from ctao_sat import __version__
from ctao_sat.cli.data import data
from ctao_sat.cli.info import info
from ctao_sat.cli.irf import irf
from ctao_sat.cli.pulsar import pulsar
from ctao_sat.cli.run import demo, init, run, validate
from ctao_sat.cli.simulate import simulate
from ctao_sat.errors import CtaoSatError

__all__ = ["cli", "main"]

INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples:\n\n\b\n"
    "  ctao-sat demo                                   simulate and analyse, without any download\n"
    "  ctao-sat init --source Crab -o crab.yaml        write a configuration\n"
    "  ctao-sat run crab.yaml --dry-run                see what would be analysed\n"
    "  ctao-sat run crab.yaml -j 4                     analyse",
)
@click.version_option(__version__, message="ctao-sat %(version)s")
def cli() -> None:
    """Science Analysis Tools of the Cherenkov Telescope Array Observatory.

    Each command has its own help: ctao-sat run -h
    """


for command in (demo, init, validate, run, simulate, data, irf, pulsar, info):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; those of the process by default.

    Returns
    -------
    code : int
        Exit code.

    Examples
    --------
    >>> from ctao_sat.cli import main
    >>> main(["info", "--quiet"])
    0
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return cli.main(words, prog_name="ctao-sat", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Nothing was overwritten.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough. Python would say so once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CtaoSatError as error:
        if "--debug" in words:
            traceback.print_exc()
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except Exception as error:  # a bug of ours: no traceback for a user who did not ask for it
        if "--debug" in words:
            traceback.print_exc()
        click.echo(
            f"Error: {type(error).__name__}: {error}\n"
            "This is not an error we foresaw. Run again with --debug and report the traceback.",
            err=True,
        )
        return 1
