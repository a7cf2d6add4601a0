"""Every shipped configuration: it can be read, it says what it is, and it trains."""

import re
from pathlib import Path

import pytest

import cnntrain
from cnntrain.config import load_config

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


def test_there_are_the_promised_configurations() -> None:
    assert {path.stem for path in CONFIGS} >= {
        "digits",
        "dogs_vs_cats_180",
        "dogs_vs_cats_augmented",
        "dogs_vs_cats_scratch",
        "lenet5",
        "dogs_vs_cats_fast",
        "mini_xception",
        "mnist_convnet",
        "no_max_pool",
        "vgg16_features",
        "vgg16_features_augmented",
        "vgg16_fine_tune",
        "vgg16_gradual",
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_header_says_what_it_is_and_what_was_measured(path: Path) -> None:
    header = "".join(line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[0] == "#")
    for word in ("Source:", f"cnntrain fit configs/{path.name}", "Measured:"):
        assert word in header
    assert re.search(r"epoch", header)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem.startswith("vgg16") else [])
        for path in CONFIGS
    ],
)
def test_it_trains(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no data here: pictures are generated
    run = cnntrain.fit(path, smoke=True)
    stages = [stage.name for stage in load_config(path).config.train.stages] or ["train"]
    assert [row.stage for row in run.history] == stages
    assert run.record.status == "finished"
    assert run.directory.model.exists()
    assert run.path == Path("runs") / path.stem
