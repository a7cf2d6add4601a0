"""Weights between the head's and the fine-tuned ones."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from cnntrain.config.sections import Optimizer
from cnntrain.config.stages import StagePlan
from cnntrain.models.network import Network
from cnntrain.runs.history import EpochRow
from cnntrain.runs.record import Best, Interpolated, RunRecord, read_record, write_record
from cnntrain.training.events import Event, Message
from cnntrain.training.interpolation import between, interpolate
from cnntrain.training.progress import Progress, Weights

HEAD, TUNED = 2.0, 4.0


def _network() -> Network:
    """One weight."""
    pictures = keras.Input((1,))
    model = keras.Model(pictures, keras.layers.Dense(1, use_bias=False, name="logits")(pictures))
    return Network(model, (), "logits", {})


def _progress(head: float = HEAD, tuned: float = TUNED) -> Progress:
    best = Best(monitor="val_loss", value=0.5, epoch=7, stage="tune")
    weights = [[np.full((1, 1), value, np.float32)] for value in (head, tuned)]
    return Progress(best=best, head_weights=weights[0], best_weights=weights[1])


def _run(progress: Progress, loss: Callable[[float], float], monitor: str = "val_loss") -> tuple[float, list[str]]:
    """Interpolates where the loss is a function of the weight and the accuracy is 1 less the loss."""
    network, events = _network(), list[Event]()

    def validate() -> dict[str, float]:
        value = loss(network.model.get_weights()[0].item())
        return {"loss": value, "accuracy": 1.0 - value}

    interpolate(network, progress, monitor=monitor, validate=validate, on_event=events.append)
    return network.model.get_weights()[0].item(), [event.text for event in events if isinstance(event, Message)]


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_the_best_weights_in_between_are_kept(monitor: str) -> None:
    progress = _progress()
    weight, told = _run(progress, lambda weight: abs(weight - 3.4) / 2, monitor)  # best at alpha 0.7
    assert weight == pytest.approx(3.4)
    assert progress.best is not None
    assert (progress.best.alpha, progress.best.epoch, progress.best.stage) == (0.7, 7, "tune")
    assert progress.best.value == pytest.approx(0.0 if monitor == "val_loss" else 1.0, abs=1e-6)
    assert progress.best_weights is not None
    assert float(progress.best_weights[0][0, 0]) == weight
    assert [tried.alpha for tried in progress.interpolation] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [tried.val_loss for tried in progress.interpolation] == pytest.approx(
        [abs(2 + 0.2 * tenths - 3.4) / 2 for tenths in range(11)], abs=1e-6
    )
    assert told[1] == "interpolation: alpha 0.1  val_loss 0.6000  val_accuracy 0.4000"
    assert told[11:] == ["interpolation: alpha 0.7 is kept"]


def test_of_equals_the_fine_tuned_weights_are_kept() -> None:
    progress = _progress()
    weight, _ = _run(progress, lambda _: 0.25)
    assert weight == TUNED
    assert progress.best == Best(monitor="val_loss", value=0.25, epoch=7, stage="tune", alpha=1.0)


def test_the_head_alone_may_win() -> None:
    progress = _progress()
    weight, _ = _run(progress, lambda weight: weight / 10)
    assert weight == HEAD
    assert progress.best is not None
    assert progress.best.alpha == 0.0


def test_tries_that_are_not_finite_never_win() -> None:
    progress = _progress()
    weight, told = _run(progress, lambda weight: 0.3 if weight > 3.9 else math.nan)
    assert weight == TUNED
    assert progress.interpolation[0] == Interpolated(0.0, None, None)
    assert progress.interpolation[-1].val_loss == 0.3
    assert "val_loss nan" in told[0]


def test_without_a_finite_try_everything_stays() -> None:
    progress = _progress()
    before = progress.best
    weight, told = _run(progress, lambda _: math.inf)
    assert weight == TUNED
    assert progress.best == before
    assert told[-1] == "interpolation: no weights gave a finite value; the fine-tuned ones stay"


@pytest.mark.parametrize("progress", [_progress(TUNED, TUNED), Progress(), Progress(best_weights=[np.ones(1)])])
def test_nothing_is_tried_where_there_is_one_set_of_weights(progress: Progress) -> None:
    def unasked(weight: float) -> float:
        raise AssertionError(f"the weight {weight} was validated")

    best = progress.best
    _, told = _run(progress, unasked)
    assert len(told) == 1
    assert (progress.best, progress.interpolation) == (best, ())


def test_both_ends_and_equal_arrays_are_exact() -> None:
    random = np.random.default_rng(1)
    head: Weights = [random.normal(size=1000).astype(np.float32) for _ in range(2)] + [np.array(3)]
    tuned: Weights = [random.normal(size=1000).astype(np.float32), *head[1:]]
    for alpha in (0.0, 0.1, 0.3, 0.7, 1.0):
        found = between(head, tuned, alpha)
        np.testing.assert_allclose(found[0], (1 - alpha) * head[0] + alpha * tuned[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[1], head[1])
        assert found[0].dtype == np.float32
        assert found[2] == 3
    np.testing.assert_array_equal(between(head, tuned, 0.0)[0], head[0])
    np.testing.assert_array_equal(between(head, tuned, 1.0)[0], tuned[0])


def _stage(name: str, unfreeze: str) -> StagePlan:
    return StagePlan(
        name=name,
        unfreeze=unfreeze,
        image_size=(24, 24),
        epochs=3,
        optimizer=Optimizer(name="sgd"),
        learning_rate=0.1,
        base_learning_rate=None,
        early_stopping=None,
        reduce_lr=None,
        schedule=None,
    )


def test_progress_remembers_the_best_of_the_last_frozen_stage() -> None:
    progress, epoch = Progress(), 0
    stages = [("first", "none", [0.2]), ("head", "none", [0.5, 0.4, 0.6]), ("tune", "block5_conv1", [0.3, 0.1])]
    for number, (name, unfreeze, losses) in enumerate(stages, start=1):
        progress.begin_stage(number, _stage(name, unfreeze))
        for loss in losses:
            epoch += 1
            row = EpochRow(name, epoch, 1.0, 0.5, loss, 0.5, 0.1, 1.0, 1.0)
            progress.keep(row, "val_loss", lambda loss=loss: [np.array(loss)])  # type: ignore[misc]
    assert progress.head_weights == [np.array(0.4)]  # neither the run's best of a frozen stage nor its last epoch
    assert progress.best_weights == [np.array(0.1)]


def test_a_record_keeps_every_try(tmp_path: Path) -> None:
    record = RunRecord(
        status="finished",
        started="2025-01-01T00:00:00+00:00",
        seed=1,
        versions={},
        device={},
        data={},
        best=Best(monitor="val_loss", value=0.1, epoch=3, stage="tune", alpha=0.9),
        interpolation=(Interpolated(0.0, None, None), Interpolated(0.9, 0.1, 0.98)),
    )
    write_record(tmp_path / "run.json", record)
    assert read_record(tmp_path / "run.json") == record


def test_a_record_from_before_there_were_tries_is_read(tmp_path: Path) -> None:
    record = RunRecord(status="finished", started="", seed=1, versions={}, device={}, data={})
    write_record(tmp_path / "run.json", record)
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    del written["interpolation"]
    (tmp_path / "run.json").write_text(json.dumps(written), encoding="utf-8")
    assert read_record(tmp_path / "run.json") == record
