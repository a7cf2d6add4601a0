"""The command line: one module a command, loaded when it is asked for."""

import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from types import FrameType

import click

from cnntrain.errors import CnntrainError, WriteError

COMMANDS = (
    *("data", "split", "scan", "augment", "summary", "lr-find", "fit"),
    *("plot", "evaluate", "compare", "explain", "report", "predict", "export", "cache"),
)
_BUG = 1
_READER_GONE = 141


class _Commands(click.Group):
    """Finds a command in the module of its name, so that one command's start does not pay for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"cnntrain.cli.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cnntrain", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show Python's traceback when something fails.")
def group(debug: bool) -> None:
    """Train, fine-tune and evaluate image classifiers, each described by one YAML file.

    A first run:

    \b
      cnntrain data digits data/digits_raw
      cnntrain split data/digits_raw data/digits --ratios 0.7,0.15,0.15
      cnntrain fit configs/digits.yaml
      cnntrain evaluate runs/digits
    """  # noqa: D301 - click takes the backspace for "do not wrap"
    _ = debug


class Terminated(KeyboardInterrupt):
    """SIGTERM, treated like Ctrl-C."""

    signal_number = signal.SIGTERM


def _on_sigterm(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Terminated


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code.

    Args:
        arguments: What follows the program's name; the process's own when absent.
    """
    given = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        group.main(given, prog_name="cnntrain", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        _leave(error.exit_code)
    except click.Abort as error:  # what click makes of a KeyboardInterrupt
        _leave(_report(error.__context__ or KeyboardInterrupt(), debug="--debug" in given))
    except click.exceptions.Exit as error:
        _leave(error.exit_code)
    except BaseException as error:
        _leave(_report(error, debug="--debug" in given))
    _leave(0)


def _report(error: BaseException, *, debug: bool) -> int:
    """Says what went wrong on stderr; gives the exit code."""
    if isinstance(error, BrokenPipeError | SystemExit):  # whoever read our output has gone; click exits then
        _silence_stdout()
        return _READER_GONE
    if debug:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        _silence_stdout()
        error = WriteError(f"cannot write {error.filename or 'the output'}: {error.strerror or error}")
    if isinstance(error, CnntrainError):
        for line in str(error).splitlines():
            click.echo(line if error.is_located else f"error: {line}", err=True)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        click.echo("error: interrupted", err=True)
        return 128 + getattr(error, "signal_number", signal.SIGINT)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    click.echo(f"error: a bug in cnntrain: {what}; run it with `cnntrain --debug` and report what it shows", err=True)
    return _BUG


def _silence_stdout() -> None:
    """Lets what is still in the buffer go nowhere when Python flushes it at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(code: int) -> None:
    sys.stderr.flush()
    sys.exit(code)
