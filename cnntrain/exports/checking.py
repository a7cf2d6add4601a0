"""An export that has been run, and gives the answers of the model that it was made from."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.errors import CnntrainError, ModelFileError
from cnntrain.exports.converting import load, write
from cnntrain.exports.kinds import RUNTIMES, Kind
from cnntrain.models.agreement import TOLERANCE, largest_difference, outputs_of, spread_batches

_REASON = 200  # characters of what a converter or a runtime says


def write_checked(kind: Kind, model: Any, folder: Path, pictures: NDArray[np.uint8]) -> float:
    """Writes a model in another format, runs what was written by that format's own runtime, and compares.

    Args:
        kind: The format.
        model: Pictures (N, height, width, channels), 0 to 255, to probabilities, in float32.
        folder: An empty folder to write into.
        pictures: (n, height, width, channels), to compare on.

    Returns:
        The largest absolute difference of an output, at most 1e-4.

    Raises:
        ModelFileError: The model cannot be written, cannot be run, or its outputs differ by more.
        OSError: The disk is full or fails.
    """
    try:
        write(kind, model, folder)
        ask = load(kind, folder)
        found = np.concatenate([ask(batch) for batch in spread_batches(pictures.astype(np.float32))])
    except (OSError, CnntrainError):
        raise
    except Exception as error:  # converters and runtimes raise whatever they like
        raise _failed(kind, error) from error
    difference = largest_difference(found, outputs_of(model, pictures))
    if difference > TOLERANCE:
        raise ModelFileError(
            f"{RUNTIMES[kind]} gives other answers than the model: probabilities differ by up to {difference:.2g} on "
            f"{len(pictures)} pictures, allowed is {TOLERANCE:g}; the export is removed, choose another --format"
        )
    return difference


def _failed(kind: Kind, error: Exception) -> Exception:
    """What to raise for what a converter or a runtime has raised."""
    if "No space left on device" in str(error):
        return OSError(errno.ENOSPC, "No space left on device")
    reason = " ".join(str(error).split())[:_REASON] or type(error).__name__
    return ModelFileError(
        f"the model cannot be exported for {RUNTIMES[kind]}: {reason}; choose another --format, or another network"
    )
