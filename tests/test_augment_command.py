"""`cnntrain augment`: the versions are those of training, on a grid that can be read."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cnntrain
from cnntrain.cli import group
from cnntrain.config import load_config
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.examples import Example
from cnntrain.data.pipeline import open_pictures, training_batches
from cnntrain.errors import ConfigError, DataError, UsageError
from cnntrain.plots.augmented import draw_augmented
from cnntrain.plots.style import to_png
from cnntrain.training.events import Event, Message
from tests.conftest import WritePictures

CHANGES = {"rotation": 30, "flip": "horizontal", "brightness": 0.3, "erasing": 0.5}


def _config(augment: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    return {
        "data": {"source": "nowhere", "image_size": [10, 14], **data},
        "augment": CHANGES if augment is None else augment,
        "model": {"kind": "convnet", "blocks": [{"filters": 4}]},
    }


@pytest.fixture
def picture(tmp_path: Path, write_pictures: WritePictures) -> Path:
    return write_pictures(tmp_path, {"pictures": 1}, size=(24, 40))[0]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is handed over to be drawn."""
    seen: list[Any] = []

    def draw(pictures: Any, titles: Any) -> Any:
        seen.append((pictures, titles))
        return draw_augmented(pictures, titles)

    monkeypatch.setattr("cnntrain.plots.augmented.draw_augmented", draw)
    return seen


@pytest.mark.parametrize("data", [{}, {"color": "grayscale", "resize": "crop"}, {"resize": "pad"}])
def test_versions_are_what_the_epochs_of_training_show(
    picture: Path, tmp_path: Path, drawn: list[Any], data: dict[str, Any]
) -> None:
    output = tmp_path / "grid.png"
    assert cnntrain.augment(_config(**data), picture, count=4, output=output) == output
    pictures, titles = drawn[0]
    assert list(titles) == ["unchanged", "epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    config = load_config(_config(**data)).config
    trained = open_pictures([Example(str(picture), "cat")], ("cat", "dog"), preprocessing_of(config.data))
    for epoch in range(1, 5):
        batches = training_batches(
            trained, class_count=2, batch_size=8, seed=config.seed, epoch=epoch, augment=config.augment
        )
        expected = next(batches.as_numpy_iterator())[0][0]
        assert np.abs(pictures[epoch] - expected).max() <= 0.5
        assert np.abs(pictures[epoch].astype(float) - pictures[0]).mean() > 1


def test_the_first_tile_is_the_picture_as_the_network_gets_it(picture: Path, tmp_path: Path, drawn: list[Any]) -> None:
    cnntrain.augment(_config(image_size=[24, 40]), picture, count=1, output=tmp_path / "grid.png")
    np.testing.assert_array_equal(drawn[0][0][0], _pixels(picture))


def test_a_seed_gives_other_versions_and_the_same_one_the_same(picture: Path, tmp_path: Path, drawn: list[Any]) -> None:
    for options in ({}, {"seed": 1337}, {"seed": 1}, {"overrides": "seed=1"}):
        cnntrain.augment(_config(), picture, count=2, output=tmp_path / "grid.png", **options)  # type: ignore[arg-type]
    default, same, other, overridden = (pictures for pictures, _ in drawn)
    np.testing.assert_array_equal(default, same)
    np.testing.assert_array_equal(other, overridden)
    assert np.abs(default[1:].astype(float) - other[1:]).mean() > 1


def _pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(("channels", "side", "count"), [(1, 16, 1), (3, 150, 16), (3, 900, 5), (3, 1, 2)])
def test_every_picture_is_drawn_in_its_place(channels: int, side: int, count: int) -> None:
    """Each of another gray, and no gray twice on white."""
    grays = np.linspace(10, 200, count).astype(np.uint8)
    pictures = np.broadcast_to(grays[:, None, None, None], (count, side, side, channels))
    drawing = to_png(draw_augmented(pictures, [f"epoch {number}" for number in range(count)]))
    pixels = np.asarray(Image.open(io.BytesIO(drawing)).convert("RGB"))
    assert pixels.shape[1] <= 2500
    for gray in grays:
        assert (pixels == gray).all(axis=2).sum() >= min(side, 150) ** 2


def _augment(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["augment", *map(str, arguments)])


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(_config()), encoding="utf-8")  # JSON is YAML
    return path


def test_the_command_prints_where_it_drew(yaml: Path, picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "some" / "grid.PNG"
    done = _augment(yaml, picture, "--count", 2, "--set", "augment.rotation=5", "--output", output)
    assert (done.exit_code, done.stdout) == (0, f"{output}\n")
    assert output.read_bytes().startswith(b"\x89PNG")
    done = _augment(yaml, picture, "--count", 2, "--seed", 3, "--output", output, "--json")
    assert json.loads(done.stdout) == {"format": 1, "path": str(output), "epochs": [1, 2]}


def test_without_changes_there_is_nothing_to_draw(picture: Path, tmp_path: Path) -> None:
    for augment in ({}, {"fill": "reflect"}, {"mixup": 0.2}):
        with pytest.raises(ConfigError, match=r"write, for example, flip: horizontal") as raised:
            cnntrain.augment(_config(augment), picture, output=tmp_path / "grid.png")
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "grid.png").exists()


def test_mixing_is_left_out_and_told(picture: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    mixed = _config({"flip": "horizontal", "mixup": 0.2})
    cnntrain.augment(mixed, picture, count=1, output=tmp_path / "grid.png", on_event=told.append)
    assert [event.text for event in told if isinstance(event, Message)] == [
        "MixUp and CutMix need other pictures and are left out; the other changes are shown"
    ]


def test_what_it_refuses(picture: Path, tmp_path: Path) -> None:
    for output, word in ((tmp_path / "grid.jpg", r"ends in \.png"), (picture, "replace the picture itself")):
        with pytest.raises(UsageError, match=word):
            cnntrain.augment(_config(), picture, output=output)
    for count in (0, 401):
        with pytest.raises(UsageError, match="choose another --count"):
            cnntrain.augment(_config(), picture, count=count, output=tmp_path / "grid.png")
    bad = tmp_path / "bad.png"
    bad.write_text("no picture", encoding="utf-8")
    for place in (bad, tmp_path / "missing.png", tmp_path):
        with pytest.raises(DataError, match="give one picture") as raised:
            cnntrain.augment(_config(), place, output=tmp_path / "grid.png")
        assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match="seed"):
        cnntrain.augment(_config(), picture, seed=-1, output=tmp_path / "grid.png")
