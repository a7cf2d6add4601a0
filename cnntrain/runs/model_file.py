"""A run's model as one file: the whole network with the names of its classes inside."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from cnntrain.errors import ModelFileError
from cnntrain.files import replacing
from cnntrain.untrusted.allowed import shown
from cnntrain.untrusted.archive import CONFIG, KERAS_MEMBERS, METADATA, WEIGHTS, open_members
from cnntrain.untrusted.hdf5 import read_hdf5
from cnntrain.untrusted.restoring import restore_network
from cnntrain.untrusted.span import Span, open_regular, told
from cnntrain.untrusted.stored import assign, check_types, pair

MEMBER = "cnntrain.json"

_LARGEST_JSON = 1 << 22  # bytes; Keras's largest network takes 1 MB
_MOST_PARTS = 1 << 17  # lists and objects, each of which takes 64 bytes and more; that network has 20,000
_LARGEST_FILE = 1 << 33


def save_model(path: Path, model: keras.Model, classes: Sequence[str]) -> None:
    """Writes a model with its class names, whole or not at all.

    The file is an ordinary `.keras` file that `keras.models.load_model` reads without cnntrain; the names are one
    more member of the archive.

    Args:
        path: The `.keras` file to write.
        model: Pictures to probabilities, not compiled.
        classes: Names in the order of the model's outputs.

    Raises:
        WriteError: The file cannot be written.
    """
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, json.dumps({"format": 1, "classes": list(classes)}, ensure_ascii=False))


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names inside a model that `save_model` wrote.

    Raises:
        ModelFileError: The file is missing, damaged, or not written by cnntrain.
    """
    with _members(path) as members:
        return _class_names(members[MEMBER])


def load_model(path: Path) -> Any:
    """Reads a model that `save_model` wrote: pictures (N, height, width, channels), 0 to 255, to probabilities.

    The file may be a stranger's. All of it is checked before anything is built: that the archive holds what Keras and
    cnntrain put there and nothing else, that the network has only layers and sizes that cnntrain's have, that the
    arrays are those of the network. Neither Keras's loader nor the HDF5 library gets to see it.

    Raises:
        ModelFileError: The file is missing, damaged, or not written by cnntrain.
    """
    with _members(path) as members:
        outputs = _outputs(_class_names(members[MEMBER]))
        _json(members[METADATA], METADATA)
        network, weights = _json(members[CONFIG], CONFIG), members[WEIGHTS]
        arrays = read_hdf5(weights).arrays()

        def check(model: Any) -> None:
            check_types(pair(model, arrays))
            if model.output_shape != (None, outputs):
                raise ValueError(f"its network has the outputs {model.output_shape[1:]}, its classes need {outputs}")

        model = restore_network(network, check)
        assign(model, pair(model, arrays), weights)
        return model


@contextmanager
def _members(path: Path) -> Iterator[Mapping[str, Span]]:
    """The members of a model's archive; whatever is wrong with it inside the block becomes a ModelFileError."""
    try:
        with open_regular(path) as file:
            if file.size > _LARGEST_FILE:
                raise ValueError(f"it has {file.size:,} bytes, more than {_LARGEST_FILE:,}")
            yield open_members(file, [*KERAS_MEMBERS, MEMBER])
    except FileNotFoundError as error:
        raise ModelFileError(
            f"the model {path} does not exist: a run has one once a stage of it is over or a signal has stopped it; go "
            "on with it with cnntrain fit CONFIG --resume"
        ) from error
    except Exception as error:  # layers raise whatever they like where options do not fit together
        raise ModelFileError(f"{path} is not a model that cnntrain wrote ({told(error)}); fit the run again") from error


def _outputs(classes: Sequence[str]) -> int:
    return 1 if len(classes) == 2 else len(classes)


def _class_names(member: Span) -> tuple[str, ...]:
    """The names in a member. Raises ValueError."""
    value = _json(member, MEMBER)
    if not isinstance(value, dict) or type(value.get("format")) is not int or value["format"] != 1:
        raise ValueError(f"{MEMBER} in it is not of format 1")
    names = value.get("classes")
    if value.keys() != {"format", "classes"} or not isinstance(names, list) or len(names) < 2:
        raise ValueError(f"{MEMBER} in it must hold two classes or more and nothing else")
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or not name:
            raise ValueError(f"{MEMBER} in it must hold names of classes; got {shown(name)}")
    if len(set(names)) != len(names):
        raise ValueError(f"{MEMBER} in it names a class twice")
    return tuple(names)


def _json(member: Span, name: str) -> Any:
    """What a member says. Raises ValueError."""
    if member.size > _LARGEST_JSON:
        raise ValueError(f"{name} in it has {member.size:,} bytes, more than {_LARGEST_JSON:,}")
    content = member.read(0, member.size)
    if (parts := content.count(b"[") + content.count(b"{")) > _MOST_PARTS:
        raise ValueError(f"{name} in it has {parts:,} lists and objects, more than {_MOST_PARTS:,}")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} in it is damaged: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
