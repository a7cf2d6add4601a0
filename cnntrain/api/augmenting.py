"""`cnntrain augment`: what training would see of a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnntrain.config import Config, LoadedConfig, Problem, Source, load_config
from cnntrain.errors import DataError, UsageError
from cnntrain.files import write_bytes
from cnntrain.runs.directory import RunDirectory
from cnntrain.runtime import prepare
from cnntrain.training.events import Message, OnEvent, StepDone, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnntrain.data.pipeline import Pictures

_MOST = 400


def augment(
    config: Source,
    image: str | Path,
    *,
    overrides: str | Sequence[str] = (),
    count: int = 15,
    seed: int | None = None,
    output: str | Path = "augmented.png",
    on_event: OnEvent | None = None,
) -> Path:
    """Draws a picture as the network gets it, and beside it the versions that epochs 1, 2, … of a training would show.

    They come out of the pipeline of training itself, as if the picture were the first of the training set. The data of
    the configuration is not asked for.

    Args:
        config: A configuration, the path of a YAML file, a run's folder, or a mapping of the same shape as a file.
        image: The picture.
        overrides: `KEY=VALUE` with dotted keys, as `--set` takes them.
        count: Number of versions, 1 to 400.
        seed: Of the changes; the configuration's when absent.
        output: The PNG file to write.
        on_event: Told how far it is.

    Returns:
        `output`.

    Raises:
        UsageError: `count` is out of its range, or `output` does not end in .png or is the picture itself.
        ConfigError: The configuration has problems, or changes nothing in single pictures.
        DataError: The picture is missing or damaged.
        WriteError: The file cannot be written.
    """
    listener, path = on_event or ignore, Path(output)
    _check(Path(image), count, path)
    changes = [overrides] if isinstance(overrides, str) else list(overrides)
    if isinstance(config, str | Path) and (of_run := RunDirectory(Path(config)).config).is_file():
        config = of_run
    loaded = load_config(config, overrides=changes if seed is None else [*changes, f"seed={seed}"])
    _check_changes(loaded, listener)
    prepare("cpu")
    import numpy as np

    from cnntrain.plots.augmented import draw_augmented
    from cnntrain.plots.style import to_png

    pictures = list(_versions(loaded.config, Path(image), count, listener))
    titles = ["unchanged", *(f"epoch {epoch}" for epoch in range(1, count + 1))]
    write_bytes(path, to_png(draw_augmented(np.stack(pictures), titles)))
    return path


def _check(image: Path, count: int, output: Path) -> None:
    """Raises UsageError."""
    if not 1 <= count <= _MOST:
        raise UsageError(f"between 1 and {_MOST} versions are drawn; got: {count}; choose another --count")
    if output.suffix.lower() != ".png":
        raise UsageError(f"versions are drawn as PNG; got: {output}; choose a name that ends in .png")
    if output.resolve() == image.resolve():
        raise UsageError(f"the drawing would replace the picture itself, {image}; choose another --output")


def _check_changes(loaded: LoadedConfig, listener: OnEvent) -> None:
    """Makes sure that there is something to see, and tells what is not shown. Raises ConfigError."""
    wished = loaded.config.augment
    if not wished.model_copy(update={"mixup": 0.0, "cutmix": 0.0}).is_active:
        what = "mixes pictures with others only" if wished.mixes else "changes nothing"
        raise loaded.locate(
            [
                Problem(
                    key=("augment",),
                    what=f"{what}, so all versions of a picture are the same; write, for example, flip: horizontal",
                )
            ]
        )
    if wished.mixes:
        listener(Message("MixUp and CutMix need other pictures and are left out; the other changes are shown"))


def _versions(config: Config, image: Path, count: int, listener: OnEvent) -> "Iterator[NDArray[np.uint8]]":
    """The picture as it is and as epochs 1 to `count` show it: uint8 (height, width, channels)."""
    import numpy as np

    from cnntrain.data.pipeline import view_batches

    pictures = _decoded(image, config)
    yield np.asarray(pictures.stored)[0]
    first = np.zeros(1, np.int64)
    for view in range(count):
        batches = view_batches(pictures, first, batch_size=1, augment=config.augment, seed=config.seed, view=view)
        changed = next(batches.as_numpy_iterator())[0]
        yield np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        listener(StepDone("versions", view + 1, count))


def _decoded(image: Path, config: Config) -> "Pictures":
    """A training set of this one picture, which is decoded already. Raises DataError for a bad one."""
    import numpy as np

    from cnntrain.data.decoder import preprocessing_of
    from cnntrain.data.pipeline import image_batches
    from cnntrain.data.unlabelled import look_at_named, named_picture, open_named

    good, bad = look_at_named([named_picture(image)], max_pixels=config.data.max_pixels)
    if bad:
        raise DataError(f"{bad[0]}; give one picture")
    pictures = open_named(good, preprocessing_of(config.data))
    stored = next(image_batches(pictures, 1).as_numpy_iterator())
    return replace(pictures, stored=stored, is_stored=np.ones(1, np.bool_))
