"""Pictures of a run that probably have the wrong label."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.data.examples import SPLITS, Example, in_split, read_examples
from cnntrain.errors import WriteError
from cnntrain.runs.run import Run, open_run
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import OnEvent, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.features import Features
    from cnntrain.evaluation.mislabelled import Suspect

_ROWS = 256  # feature maps that are averaged at once


def likely_mislabelled(
    run: Run | str | Path, *, device: DeviceChoice = "auto", on_event: OnEvent | None = None
) -> "tuple[Suspect, ...]":
    """Finds pictures of a run, of all splits, that do not look like their label.

    They are judged by a classifier on the averaged feature maps that the run's head gets, never by one that has seen
    the picture itself. Where these layers were trained on the labels, wrong ones among the training pictures may have
    been learnt by heart; those of frozen layers know no labels. The feature maps are kept in the cache, like those of
    a training.

    Args:
        run: A run, or its folder.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told how far it is.

    Returns:
        The pictures whose label is not what they look like most, the clearest first.

    Raises:
        RunError: There is no such run.
        ModelFileError: The run's model is missing or damaged.
        DataError: A picture has gone or changed since the run was fitted.
        WriteError: The cache has no room.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    prepare(device)
    import numpy as np

    from cnntrain.evaluation.mislabelled import find_disagreements

    examples = read_examples(run.directory.examples)
    parts = {split: in_split(examples, split) for split in SPLITS}
    features = _features(run, {split: part for split, part in parts.items() if part}, on_event or ignore)
    averaged = np.concatenate([rows for of_split in features.values() for rows in _averaged(of_split)])
    labels = np.concatenate([of_split.labels for of_split in features.values()])
    found = find_disagreements(averaged, labels, len(run.classes))
    ordered = [example for split in features for example in parts[split]]
    return tuple(
        _suspect(ordered[index], run.classes[suggested], found.probabilities[index], run.classes, bool(is_confident))
        for index, suggested, is_confident in zip(found.order, found.suggested, found.is_confident, strict=True)
    )


def _features(run: Run, parts: Mapping[str, Sequence[Example]], listener: OnEvent) -> "dict[str, Features]":
    """The feature maps that the head of a run's model gets, by split."""
    from cnntrain.config.sections import Augment
    from cnntrain.data.pipeline import open_pictures
    from cnntrain.evaluation.trust import open_model
    from cnntrain.models.network import network_of
    from cnntrain.training.bank.bank import IncompleteBankError
    from cnntrain.training.bank.opening import FeatureBanks
    from cnntrain.training.bank.planning import StageCut
    from cnntrain.training.bank.shelf import open_shelf
    from cnntrain.training.failures import failures_told

    model, preprocessing = open_model(run)
    network = network_of(model)
    cut = StageCut("", preprocessing.shape[:2], network.features, lowest=network.features)
    pictures = {split: open_pictures(part, run.classes, preprocessing) for split, part in parts.items()}
    config = run.config.model_copy(update={"augment": Augment()})
    banks = FeatureBanks(config, open_shelf(), listener, views=1)
    try:
        with failures_told(config, [example for part in parts.values() for example in part]):
            return banks.features(network, cut, pictures)
    except (OSError, IncompleteBankError) as error:
        raise WriteError(f"features cannot be stored ({error}); free some room or set CNNTRAIN_CACHE_DIR") from error


def _averaged(features: "Features") -> "Iterator[NDArray[np.float32]]":
    """Feature maps averaged over their places: blocks of rows (n, channels)."""
    import numpy as np

    rows = iter(np.arange(len(features)))
    while chosen := list(islice(rows, _ROWS)):
        maps = features.stored[np.array(chosen)].astype(np.float32)
        yield maps.reshape(len(maps), -1, maps.shape[-1]).mean(axis=1)


def _suspect(
    example: Example, suggested: str, probabilities: Any, classes: Sequence[str], is_confident: bool
) -> "Suspect":
    from cnntrain.evaluation.mislabelled import Suspect

    return Suspect(
        path=example.path,
        split=example.split,
        label=example.label,
        suggested=suggested,
        label_probability=round(float(probabilities[classes.index(example.label)]), 6),
        suggested_probability=round(float(probabilities[classes.index(suggested)]), 6),
        is_confident=is_confident,
    )
