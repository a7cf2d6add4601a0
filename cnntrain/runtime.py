"""Backend, device and quiet logs: everything that must be settled before TensorFlow is imported."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from cnntrain.errors import CnntrainError, UsageError

DeviceChoice = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Device:
    """What the network runs on.

    Args:
        kind: `cpu` or `gpu`.
        name: The maker's name of it where TensorFlow knows it, else the kind.
        count: How many of them.
    """

    kind: str
    name: str
    count: int


@contextmanager
def native_stderr_held_back() -> Iterator[None]:
    """Keeps what C++ code prints to stderr off the terminal; it is shown after all when the block fails.

    What Python prints to stderr meanwhile is kept off too.
    """
    try:
        descriptor = sys.__stderr__.fileno() if sys.__stderr__ else None
    except (OSError, ValueError):
        descriptor = None
    if descriptor is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        except (CnntrainError, KeyboardInterrupt):  # these say by themselves what is wrong
            raise
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)


def prepare(device: DeviceChoice = "auto") -> Device:
    """Imports TensorFlow and Keras, quietly, with the TensorFlow backend and on the wished device.

    Args:
        device: `auto` takes a GPU where TensorFlow sees one; `cpu` hides it; `gpu` insists on one.

    Raises:
        UsageError: `gpu` was asked for and there is none, or Keras runs already on another backend.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_held_back():
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise UsageError(
                f"Keras was imported with the {keras.backend.backend()} backend before cnntrain; "
                "set KERAS_BACKEND=tensorflow before importing it"
            )
        tf.get_logger().setLevel("ERROR")  # it warns of each new network in one process, as of folds
        keras.config.set_image_data_format("channels_last")  # whatever ~/.keras/keras.json says
        keras.config.set_floatx("float32")
        gpus = tf.config.get_visible_devices("GPU")
        if device == "cpu":
            _hide_gpus()
            gpus = []
        if device == "gpu" and not gpus:
            raise UsageError("TensorFlow sees no GPU here; use --device cpu, or install cnntrain[cuda] and a driver")
        return _describe(gpus)


def _hide_gpus() -> None:
    """Makes TensorFlow run on the CPU alone; impossible once a GPU was used in this process."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise UsageError("the device cannot change once this process has used a GPU; start a new one") from error


@contextmanager
def whole_float32() -> Iterator[None]:
    """Lets a GPU multiply float32 as such in the block, not with the ten bits of TensorFloat-32 that it takes else."""
    import tensorflow as tf

    was = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was)


def _describe(gpus: list[object]) -> Device:
    """Names the device, and lets a GPU's memory grow as needed so that several processes can share it."""
    import tensorflow as tf

    if not gpus:
        return Device(kind="cpu", name="cpu", count=1)
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # it was used before; its memory is laid out already
            break
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu")
    return Device(kind="gpu", name=str(name), count=len(gpus))


def versions() -> dict[str, str]:
    """Versions of cnntrain, Python and the libraries that decide about results."""
    from cnntrain import __version__

    libraries = ("tensorflow", "keras", "numpy", "scikit-learn", "pillow")
    python = ".".join(str(part) for part in sys.version_info[:3])
    return {"cnntrain": __version__, "python": python, **{name: version(name) for name in libraries}}


@cache
def code_digest() -> str:
    """What stands for cnntrain's own code: sixteen digits of a SHA-256."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]
