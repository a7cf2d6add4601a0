"""The learning-rate range test: what it measures, what it suggests, its plot, its files and its command."""

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

import cnntrain
from cnntrain.cli import group, main
from cnntrain.config import Augment, load_config
from cnntrain.config.stages import plan_stages
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.pipeline import open_pictures, training_batches
from cnntrain.errors import ConfigError, DataError, TrainingError, UsageError, WriteError
from cnntrain.models import backbones, checks
from cnntrain.plots import style
from cnntrain.plots.lr_find import draw_range_test
from cnntrain.training.events import Event, Message, StepDone, ignore
from cnntrain.training.lr_find import Suggestion, run_range_test, smooth, suggest
from cnntrain.training.preparing import Prepared, prepare_fit

RATES = tuple(float(rate) for rate in np.geomspace(1e-7, 10, 801))  # a hundred steps a decade
NONE = Suggestion()


def _valley(rate: float) -> float:
    """Flat to 1e-3, down in a straight line to 1e-1, then far up."""
    return 2.0 - min(max(math.log10(rate) + 3.0, 0.0), 2.0) / 2 if rate <= 0.1 else 50.0


# --- what is read off a curve


def test_smoothing_by_hand() -> None:
    past = 1 / math.e  # what 0.75 decades leave of a loss's weight
    rates = [1.0, 10**0.75, 10**1.5]
    expected = (4, (4 * past + 1) / (past + 1), (4 * past**2 + past + 7) / (past**2 + past + 1))
    assert smooth(rates, [4, 1, 7]) == pytest.approx(expected)


def test_a_tenth_of_the_rate_of_the_smallest_loss_is_suggested() -> None:
    found = suggest(RATES, [_valley(rate) for rate in RATES])
    assert found.minimum == pytest.approx(1e-2, rel=0.03)
    assert found.steepest is not None
    assert 1e-2 < found.steepest <= 0.1
    assert found.best == found.minimum
    assert not found.is_open


def test_where_the_loss_stays_low_the_steepest_fall_is_suggested() -> None:
    """A network that has learnt all there is says nothing of the rates that follow."""
    losses = [1.0 - 1.0 / (1.0 + (1e-3 / rate) ** 2) for rate in RATES]  # steepest at 1e-3, and the average a bit later
    found = suggest(RATES, losses)
    assert found.best == found.steepest
    assert found.best is not None
    assert 1e-3 < found.best < 5e-3


def test_the_number_of_steps_does_not_matter_much() -> None:
    coarse = RATES[::10]
    found = suggest(coarse, [_valley(rate) for rate in coarse])
    assert found.minimum == pytest.approx(1e-2, rel=0.03)


def test_a_loss_that_still_falls_at_the_end_leaves_the_question_open() -> None:
    rates = [rate for rate in RATES if rate < 0.05]
    found = suggest(rates, [_valley(rate) for rate in rates])
    assert found.is_open
    assert found.minimum == rates[-1] / 10


def test_noise_gets_no_suggestion() -> None:
    rates = np.geomspace(1e-7, 10, 100).tolist()
    noise = [2.3 + np.random.default_rng(seed).normal(0, 0.05, 100) for seed in range(300)]
    assert sum(suggest(rates, losses.tolist()) != NONE for losses in noise) <= 3


def test_a_shallow_fall_is_told_from_the_noise() -> None:
    """The first average is a single noisy loss, lower than all that follows."""
    rates = np.geomspace(1e-7, 10, 100)
    noise = np.random.default_rng(5).normal(0, 0.01, 100)
    fall = np.where((rates > 3e-2) & (rates < 1), 0.05, 0)
    losses = (2.3 + noise - fall).tolist()
    losses[0] = 2.2
    found = suggest(rates.tolist(), losses)
    assert found.minimum is not None
    assert 1e-2 < found.minimum <= 0.1


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=60))
def test_a_loss_that_never_falls_gets_no_suggestion(losses: list[float]) -> None:
    rates = np.geomspace(1e-6, 1, len(losses)).tolist()
    assert suggest(rates, sorted(losses)) == NONE
    assert suggest(rates, [losses[0]] * len(losses)) == NONE


@given(st.lists(st.floats(0.01, 100), min_size=10, max_size=60), st.sampled_from([0.25, 2.0, 64.0]))
@settings(max_examples=50)
def test_suggestions_scale_with_the_rates_and_not_with_the_losses(losses: list[float], factor: float) -> None:
    rates = np.geomspace(2.0**-20, 1, len(losses)).tolist()
    found = suggest(rates, losses)
    scaled_losses = suggest(rates, [factor * loss for loss in losses])
    assert (scaled_losses.minimum, scaled_losses.steepest) == (found.minimum, found.steepest)
    if found.minimum is not None and found.steepest is not None:
        assert found.steepest in rates
        assert found.steepest <= 10 * found.minimum * (1 + 1e-9)
        assert found.minimum == rates[int(np.abs(np.array(rates) - 10 * found.minimum).argmin())] / 10


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_the_average_stays_between_the_losses(losses: list[float]) -> None:
    rates = np.geomspace(1e-6, 1, len(losses)).tolist()
    for count, value in enumerate(smooth(rates, losses), start=1):
        assert min(losses[:count]) * (1 - 1e-9) <= value <= max(losses[:count]) * (1 + 1e-9)


@pytest.mark.parametrize(("rates", "losses"), [([1.0], [1.0]), ([], []), ([1.0, 2.0], [1.0])])
def test_a_suggestion_needs_a_curve(rates: list[float], losses: list[float]) -> None:
    with pytest.raises(ValueError, match="two rates or more"):
        suggest(rates, losses)


# --- what is measured


def _raw(folder: Path, **sections: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "data": {"source": str(folder), "image_size": [12, 12], "batch_size": 5},
        "model": {"kind": "convnet", "blocks": [{"filters": 4}], "head": {"layers": [{"dense": 4}]}},
        "train": {"optimizer": "adam", "learning_rate": 0.01},
    }
    return raw | sections


def _prepared(raw: dict[str, Any]) -> Prepared:
    return prepare_fit(load_config(raw), smoke=False, allow_leak=True, on_event=ignore)


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for a pretrained network, as the section `model`."""

    def build(include_top: bool, weights: str | None, input_tensor: Any) -> keras.Model:
        x = keras.layers.Conv2D(4, 3, name="tiny_conv")(input_tensor)
        x = keras.layers.BatchNormalization(name="tiny_norm")(x)
        x = keras.layers.Dropout(0.5, name="tiny_dropout")(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    for module in (backbones, checks):
        monkeypatch.setattr(module, "backbones", lambda: {"tiny": (build, lambda x: x / 127.5 - 1.0)})
    return {"kind": "pretrained", "backbone": "tiny", "weights": "none", "head": {"layers": [{"dense": 4}]}}


def _loss_by_hand(prepared: Prepared, inputs: Any, targets: Any, weights: Any) -> float:
    """Mean binary cross-entropy of the network's probabilities."""
    probabilities = np.asarray(prepared.network.model(np.asarray(inputs), training=False), np.float64)
    each = -np.where(np.asarray(targets) > 0.5, np.log(probabilities), np.log(1 - probabilities))[:, 0]
    return float(np.mean(each * np.asarray(weights)))


def _unmoved_losses(prepared: Prepared, epochs: int) -> list[float]:
    """The loss of each batch of the first epochs, with the initial weights, computed by numpy."""
    config, data_set = prepared.config, prepared.data_set
    assert data_set is not None
    pictures = open_pictures(data_set.split("train"), prepared.classes, preprocessing_of(config.data))
    counts = np.bincount(pictures.labels)
    balanced = len(pictures) / (2 * counts) if config.train.class_weights == "balanced" else np.ones(2)
    losses = []
    for epoch in range(1, epochs + 1):
        batches = training_batches(
            pictures, class_count=2, batch_size=5, seed=config.seed, epoch=epoch, augment=Augment()
        )
        for inputs, targets in batches:
            weights = balanced[np.asarray(targets)[:, 0].astype(int)]
            losses.append(_loss_by_hand(prepared, inputs, targets, weights))
    return losses


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_each_loss_is_that_of_its_own_batch_through_several_epochs(
    split_folder: Path,
    tiny_backbone: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_frozen: bool,
    class_weights: str,
) -> None:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    for number in range(3):
        (split_folder / "train" / "dog" / f"{number:04d}.png").unlink()  # 12 cats and 9 dogs: 5 batches an epoch
    raw = _raw(split_folder, train={"class_weights": class_weights}, **({"model": tiny_backbone} if is_frozen else {}))
    prepared = _prepared(raw)
    events: list[Event] = []
    stage = plan_stages(prepared.config)[0]
    found = run_range_test(prepared, stage, start=1e-30, end=1e-29, steps=12, on_event=events.append)
    assert found.losses == pytest.approx(_unmoved_losses(prepared, 3)[:12], rel=1e-3)  # float16
    tasks = [event.task for event in events if isinstance(event, StepDone)]
    assert tasks == ["features of train"] * is_frozen + ["learning rates"] * 12


def test_stored_features_are_changed_as_in_a_training(split_folder: Path, tiny_backbone: dict[str, Any]) -> None:
    losses = []
    for brightness in (0.0, 0.5):
        features = {"views": 1, "brightness": brightness}
        prepared = _prepared(_raw(split_folder, model=tiny_backbone, train={"features": features}))
        stage = plan_stages(prepared.config)[0]
        losses.append(run_range_test(prepared, stage, start=1e-30, end=1e-29, steps=12, on_event=ignore).losses)
    assert losses[0] != losses[1]


def test_a_frozen_base_keeps_no_features_of_pictures_that_are_seen_once(
    split_folder: Path, tiny_backbone: dict[str, Any]
) -> None:
    raw = _raw(split_folder, model=tiny_backbone)
    raw["data"]["batch_size"] = 2
    prepared = _prepared(raw)
    events: list[Event] = []
    stage = plan_stages(prepared.config)[0]
    found = run_range_test(prepared, stage, start=1e-6, end=1e-3, steps=12, on_event=events.append)
    assert len(found.rates) == 12
    assert {event.task for event in events if isinstance(event, StepDone)} == {"learning rates"}


def test_the_rates_grow_by_the_same_factor_and_the_network_learns(split_folder: Path) -> None:
    prepared = _prepared(_raw(split_folder))
    found = run_range_test(prepared, plan_stages(prepared.config)[0], start=1e-5, end=1, steps=51, on_event=ignore)
    assert found.rates[:3] == pytest.approx((1e-5, 1.2589e-5, 1.5849e-5), rel=1e-4)
    assert min(found.smoothed) < 0.8 * found.losses[0]  # two classes of clearly different colours
    suggested = suggest(found.rates, found.losses).best
    assert suggested is not None
    assert 1e-3 < suggested < 0.3


def test_the_test_ends_when_the_loss_explodes(split_folder: Path) -> None:
    raw = _raw(split_folder, train={"optimizer": "sgd"})
    prepared = _prepared(raw)
    found = run_range_test(prepared, plan_stages(prepared.config)[0], start=1e-2, end=1e6, steps=60, on_event=ignore)
    assert 2 < len(found.losses) < 60
    assert all(math.isfinite(loss) for loss in found.losses)


def test_a_loss_that_is_never_finite_is_an_error(split_folder: Path) -> None:
    prepared = _prepared(_raw(split_folder))
    layer = prepared.network.model.get_layer("logits")
    layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])
    with pytest.raises(TrainingError, match="not finite at the learning rate 1e-05"):
        run_range_test(prepared, plan_stages(prepared.config)[0], start=1e-5, end=1, steps=10, on_event=ignore)


def test_a_picture_that_goes_away_is_named(split_folder: Path) -> None:
    prepared = _prepared(_raw(split_folder))
    gone = split_folder / "train" / "cat" / "0003.png"
    gone.unlink()
    with pytest.raises(DataError, match=r"0003\.png has gone or changed"):
        run_range_test(prepared, plan_stages(prepared.config)[0], start=1e-5, end=1, steps=10, on_event=ignore)


# --- the library call


def test_the_same_seed_gives_the_same_losses_and_files(split_folder: Path, tmp_path: Path) -> None:
    raw = _raw(split_folder, augment={"rotation": 10, "flip": "horizontal"})
    first, second = (
        cnntrain.find_learning_rate(raw, start=1e-5, steps=20, output=tmp_path / f"{name}.png") for name in "ab"
    )
    assert first.losses == second.losses
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, len(first.rates) + 1))
    for name, values in (("learning_rate", first.rates), ("loss", first.losses), ("smoothed", first.smoothed)):
        assert [float(row[name]) for row in rows] == pytest.approx(values, rel=1e-6)


def test_a_stage_is_chosen_by_name(split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stages = [
        {"name": "small", "image_size": [8, 8], "learning_rate": 0.1, "schedule": "one_cycle"},
        {"name": "the rest", "optimizer": "sgd"},
    ]
    raw = _raw(split_folder, train={"stages": stages, "ema": 0.9})
    raw["model"]["head"]["pooling"] = "global_average"
    events: list[Event] = []
    first = cnntrain.find_learning_rate(raw, start=1e-4, steps=12, on_event=events.append)
    last = cnntrain.find_learning_rate(raw, start=1e-4, steps=12, stage="the rest", on_event=events.append)
    assert (first.stage, last.stage) == ("small", "the rest")
    assert first.losses != last.losses
    assert (first.plot, last.plot) == (Path("lr_find/config.png"), Path("lr_find/config_the_rest.png"))
    told = [event.text for event in events if isinstance(event, Message)]
    assert ["initial weights" in text for text in told] == [False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr_find", "pets"]  # no run


def test_the_yaml_line_changes_the_rate_of_the_stage(split_folder: Path, tmp_path: Path) -> None:
    raw = _raw(split_folder)
    found = cnntrain.find_learning_rate(raw, start=1e-5, end=1, steps=40, output=tmp_path / "x.png")
    assert found.suggestion is not None
    assert found.yaml == f"train: {{learning_rate: {found.suggestion:.1e}}}"
    read = load_config(raw, overrides=[f"train={found.yaml.removeprefix('train: ')}"]).config
    assert plan_stages(read)[0].learning_rate == pytest.approx(found.suggestion, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "end": 1.0}, "--start 1 and --end 1"),
        ({"start": 0.0}, "--start 0 and --end 10"),
        ({"end": math.inf}, "--end inf"),
        ({"start": math.nan}, "--start nan"),
        ({"steps": 9}, "10 steps or more; got: --steps 9"),
        ({"stage": "trian"}, "there is no stage trian; the stages are: train; did you mean train?"),
        ({"output": "plot.jpg"}, "written as PNG; got: plot.jpg"),
    ],
)
def test_wrong_options_are_told_before_anything_is_done(
    split_folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        cnntrain.find_learning_rate(_raw(split_folder), **options)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["mine.png", "mine.csv"])
def test_files_of_others_are_not_replaced(split_folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious", encoding="utf-8")
    with pytest.raises(WriteError, match=f"{name} exists already and is not from lr-find"):
        cnntrain.find_learning_rate(_raw(split_folder), output=tmp_path / "mine.png")
    assert [path.name for path in tmp_path.glob("mine.*")] == [name]


def test_files_of_an_earlier_test_are_replaced(split_folder: Path, tmp_path: Path) -> None:
    for end in (1.0, 2.0):
        found = cnntrain.find_learning_rate(_raw(split_folder), end=end, steps=10, output=tmp_path / "x.png")
    assert found.table.read_text(encoding="utf-8").splitlines()[-1].split(",")[1] == f"{found.rates[-1]:.7g}"


def test_a_place_that_cannot_be_written_is_found_before_the_test(split_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    events: list[Event] = []
    with pytest.raises(WriteError, match="no folder that can be written to"):
        cnntrain.find_learning_rate(_raw(split_folder), output=tmp_path / "file" / "x.png", on_event=events.append)
    assert events == []


def test_a_mistake_in_the_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="epochz"):
        cnntrain.find_learning_rate(_raw(tmp_path, train={"epochz": 1}))


# --- the figure


def _line(figure: Figure, label: str) -> Line2D:
    (found,) = (line for line in figure.axes[0].lines if str(line.get_label()).startswith(label))
    return found


def test_the_figure_shows_the_fall_and_not_the_explosion() -> None:
    rates = RATES[::10]
    losses = [_valley(rate) for rate in rates]
    figure = draw_range_test("digits", rates=rates, losses=losses, smoothed=smooth(rates, losses), suggestion=0.0123)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert low < 1.0
    assert 2.0 < high < 4.0
    assert np.asarray(_line(figure, "loss of a batch").get_ydata()).tolist() == losses
    assert float(np.asarray(_line(figure, "suggested: 1.2e-02").get_xdata())[0]) == 0.0123
    with Image.open(io.BytesIO(style.to_png(figure, dpi=40))) as picture:
        assert picture.size == (288, 192)
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert {"1e-05", "0.001", "0.1"} <= set(labels)


def test_the_figure_without_a_suggestion_has_no_mark() -> None:
    figure = draw_range_test("x", rates=[1e-3, 2e-3, 5e-3], losses=[2, 2, 2], smoothed=[2, 2, 2])
    assert len(figure.axes[0].lines) == 2
    low, high = figure.axes[0].get_ylim()
    assert low < 2 < high
    assert style.to_png(figure, dpi=40)


def test_the_figure_needs_a_loss_for_each_rate() -> None:
    with pytest.raises(ValueError, match="a loss for each rate"):
        draw_range_test("x", rates=[1e-3], losses=[], smoothed=[])


# --- the command


@pytest.fixture
def config(split_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(_raw(split_folder)), encoding="utf-8")
    return path


def test_the_command_prints_a_table_and_the_line_for_the_configuration(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["lr-find", str(config), "--start", "1e-5", "--end", "1", "--steps", "40"]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("stage train: ")
    assert lines[1].strip() == "learning rate"
    suggested = lines[2].split()[-1]
    assert lines[5] == f"for the configuration: train: {{learning_rate: {suggested}}}"
    assert lines[-1] == f"written to {Path('lr_find/small.png')}"
    assert result.stderr == "stage train: learning rates from 1e-05 to 1 in up to 40 steps of 5 pictures\n"


def test_the_command_says_when_there_is_no_suggestion(config: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "none.png")
    arguments = ["lr-find", str(config), "--start", "1e-30", "--end", "1e-29", "--steps", "10", "--output", output]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["stage train", "no suggestion", f"written to {output}"]


def test_the_command_as_a_process_prints_one_json_document(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "plot.png"
    done = subprocess.run(
        [sys.executable, "-m", "cnntrain", "lr-find", str(config), "--steps", "10", "--output", str(output), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(done.stdout)
    assert printed["format"] == 1
    assert printed["steps"] == 10
    assert len(printed["losses"]) == len(printed["rates"]) == len(printed["smoothed"]) <= 10
    assert (printed["plot"], printed["table"]) == (str(output), str(output.with_suffix(".csv")))
    assert output.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--start", "1", "--end", "0.1"],
        ["--steps", "3"],
        ["--stage", "x"],
        ["--output", "x.jpg"],
        ["--set", "train.x=1"],
    ],
)
def test_wrong_usage_is_one_line_and_ends_with_2(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["lr-find", str(config), *arguments])
    printed = capsys.readouterr()
    assert (left.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from cnntrain.cli import group\n"
        "group.main(['lr-find', '-h'], standalone_mode=False)\n"
        "print(sorted({'tensorflow', 'pydantic', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
