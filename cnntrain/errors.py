"""The errors that a user can cause, each with the exit code that the command line ends with."""

from collections.abc import Sequence


class CnntrainError(Exception):
    """Base of all of them. The message is one line: the rule, what was given, what to do."""

    exit_code = 1
    is_located = False  # whether each line of the message begins with where the mistake stands


class UsageError(CnntrainError):
    """A command or a library call was asked for something it does not do."""

    exit_code = 2


class ConfigError(CnntrainError):
    """A configuration breaks its rules; `problems` holds one line for each of them."""

    exit_code = 2
    is_located = True

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class DataError(CnntrainError):
    """Pictures or their labels are missing, damaged or too few."""

    exit_code = 3


class RunError(CnntrainError):
    """A folder is not a run, or a run lacks what was asked of it."""

    exit_code = 4


class ModelFileError(CnntrainError):
    """A model or weights file is missing, damaged or does not fit the network."""

    exit_code = 4


class TrainingError(CnntrainError):
    """Training cannot go on: the loss is not finite, or the memory is used up."""

    exit_code = 5


class WriteError(CnntrainError):
    """A file or folder cannot be written."""

    exit_code = 6


class InterruptedRunError(CnntrainError):
    """A signal ended the work; the exit code is 128 plus the number of the signal.

    Args:
        message: One line that says what was kept.
        signal_number: The signal, 2 for Ctrl-C or 15 for SIGTERM.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
