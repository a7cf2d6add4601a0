"""The loop over stages and epochs, on networks small enough to train in a moment."""

import gc
import math
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import GLOBAL, SMALL, passes, pretrained, small_config, small_trainer

from cnntrain.config.resolving import resolve
from cnntrain.config.stages import plan_stages
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.pipeline import image_batches, open_pictures
from cnntrain.errors import TrainingError
from cnntrain.models.network import build_network
from cnntrain.runs.history import EpochRow
from cnntrain.training.averaging import WeightAverage
from cnntrain.training.class_weights import class_weights
from cnntrain.training.events import EpochDone, Event, Message, StageStarted, StepDone
from cnntrain.training.loop import Opened, Trainer
from cnntrain.training.progress import Progress


def test_events_and_history_tell_the_same_story(split_folder: Path) -> None:
    events: list[Event] = []
    trainer, _ = small_trainer(*small_config(split_folder), events=events)
    progress = trainer.run()
    assert [row.epoch for row in progress.history] == [1, 2]
    assert [event.row for event in events if isinstance(event, EpochDone)] == progress.history
    steps = [(event.task, event.step, event.steps) for event in events if isinstance(event, StepDone)]
    training = [("epoch", step, 5) for step in range(1, 6)]  # 24 pictures in batches of 5
    assert steps == [*training, *(("validation", step, 3) for step in range(1, 4))] * 2
    assert [event.epochs for event in events if isinstance(event, StageStarted)] == [2]
    assert all(row.val_loss is not None and row.learning_rate == pytest.approx(0.01) for row in progress.history)


def test_the_same_seed_gives_the_same_weights(split_folder: Path) -> None:
    config, data_set = small_config(split_folder)
    weights = []
    for _ in range(2):
        trainer, network = small_trainer(config, data_set)
        trainer.run()
        weights.append(network.model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_best_epoch_is_what_is_left_in_the_network(split_folder: Path) -> None:
    config, data_set = small_config(split_folder, epochs=4, learning_rate=0.5, optimizer="sgd")
    trainer, network = small_trainer(config, data_set)
    progress = trainer.run()
    assert progress.best is not None
    assert progress.best.value == min(row.monitored("val_loss") for row in progress.history)
    held_out = open_pictures(data_set.split("validation"), data_set.classes, preprocessing_of(config.data))
    probabilities = network.model.predict(image_batches(held_out, 4), verbose=0)[:, 0]
    truth = held_out.labels == 1
    loss = -np.mean(np.log(np.where(truth, probabilities, 1 - probabilities)))
    assert float(loss) == pytest.approx(progress.best.value, rel=1e-4)


def test_every_stage_runs_its_epochs_from_the_best_of_before(split_folder: Path) -> None:
    stages = [{"name": "one", "epochs": 3}, {"name": "two", "epochs": 2, "learning_rate": 1e-9, "optimizer": "sgd"}]
    config, data_set = small_config(split_folder, stages=stages)
    trainer, _ = small_trainer(config, data_set)
    rows = trainer.run().history
    assert [(row.stage, row.epoch) for row in rows] == [("one", 1), ("one", 2), ("one", 3), ("two", 4), ("two", 5)]
    best_of_one = min(row.monitored("val_loss") for row in rows[:3])
    # A rate of next to nothing leaves the weights where the second stage found them.
    assert rows[3].monitored("val_loss") == pytest.approx(best_of_one, rel=1e-4)


def test_early_stopping_ends_its_stage_and_not_the_next(split_folder: Path) -> None:
    stages = [
        {"name": "still", "epochs": 9, "learning_rate": 1e-30, "optimizer": "sgd", "early_stopping": {"patience": 2}},
        {"name": "next", "epochs": 3},
    ]
    config, data_set = small_config(split_folder, stages=stages)
    events: list[Event] = []
    trainer, _ = small_trainer(config, data_set, events=events)
    rows = trainer.run().history
    assert [row.stage for row in rows] == ["still"] * 3 + ["next"] * 3  # the first value, then two without gain
    assert [event.text for event in events if isinstance(event, Message)] == [
        "stage still stops after epoch 3: no better val_loss for 2 epochs"
    ]


def test_the_rate_falls_when_nothing_improves(split_folder: Path) -> None:
    config, data_set = small_config(
        split_folder,
        epochs=5,
        learning_rate=1e-20,
        optimizer="sgd",
        reduce_lr={"patience": 2, "factor": 0.1, "min_learning_rate": 5e-22},
    )
    trainer, _ = small_trainer(config, data_set)
    rates = [row.learning_rate for row in trainer.run().history]
    assert rates == pytest.approx([1e-20, 1e-20, 1e-20, 1e-21, 1e-21], rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_run_at_once_and_says_where(split_folder: Path) -> None:
    config, data_set = small_config(split_folder, learning_rate=1e30, optimizer="sgd")
    trainer, _ = small_trainer(config, data_set)
    with pytest.raises(TrainingError, match=r"not finite in stage train, epoch 1, batch \d, at learning rate 1e\+30"):
        trainer.run()
    assert trainer.progress.best is None


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "loss"])
def test_an_epoch_that_is_not_finite_is_never_best(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch, monitor: str
) -> None:
    config, data_set = small_config(split_folder, epochs=3, monitor=monitor)
    trainer, _ = small_trainer(config, data_set)
    train, validate = Trainer._train, Trainer._validate

    def damaged(self: Trainer, *arguments: Any) -> dict[str, float]:
        return {**train(self, *arguments), **({} if self.progress.history else {"loss": 0.0})}

    def not_finite(self: Trainer, *arguments: Any) -> dict[str, float]:
        found = validate(self, *arguments)
        return found if self.progress.history else {"loss": math.nan, "accuracy": 1.0}

    monkeypatch.setattr(Trainer, "_train", damaged)
    monkeypatch.setattr(Trainer, "_validate", not_finite)
    progress = trainer.run()
    assert progress.best is not None
    assert progress.best.epoch in (2, 3)


def test_weights_that_are_not_finite_are_never_kept() -> None:
    row = EpochRow("train", 1, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 1.0)
    progress = Progress()
    assert not progress.keep(row, "val_loss", lambda: [np.array([1.0, math.nan])])
    assert progress.best is None
    assert progress.stage_weights is None
    assert progress.keep(row, "val_loss", lambda: [np.array([1.0, 2.0])])


def test_the_next_stage_gets_the_best_of_its_predecessor_and_the_run_the_best_of_all(split_folder: Path) -> None:
    config, _ = small_config(split_folder, stages=[{"name": "good"}, {"name": "worse"}])
    progress = Progress()
    kept = []
    for number, (stage, losses) in enumerate(zip(plan_stages(config), [[0.4, 0.2, 0.3], [0.6, 0.5, 0.7]], strict=True)):
        progress.begin_stage(number + 1, stage)
        for loss in losses:
            row = EpochRow(stage.name, len(progress.history) + 1, 1.0, 0.5, loss, 0.5, 0.1, 1.0, 1.0)
            kept.append(progress.keep(row, "val_loss", partial(_named, loss)))
    assert kept == [True, True, False, False, False, False]
    assert progress.stage_weights == _named(0.5)
    assert progress.best_weights == _named(0.2)
    assert progress.best is not None
    assert (progress.best.stage, progress.best.epoch) == ("good", 2)


def _named(loss: float) -> list[Any]:
    """Weights that one can tell apart."""
    return [loss]


def test_without_validation_the_training_loss_is_monitored(split_folder: Path) -> None:
    config, data_set = small_config(split_folder)
    known: dict[str, Any] = {"classes": data_set.classes, "cache": "memory", "views": "fresh"}
    config = resolve(config, source=split_folder, has_validation=False, **known)
    assert config.train.monitor == "loss"
    trainer, _ = small_trainer(config, data_set, validation=False)
    progress = trainer.run()
    assert progress.best is not None
    assert progress.best.monitor == "loss"
    assert progress.history[0].val_loss is None


def test_balanced_weights_are_those_of_scikit_learn(split_folder: Path) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=labels)
    config, _ = small_config(split_folder, class_weights="balanced")
    found = class_weights(config, labels, 3)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert class_weights(small_config(split_folder)[0], labels, 3) is None


def test_a_frozen_base_runs_once_and_the_whole_model_learns_the_same(
    split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    config, data_set = pretrained(split_folder, tiny_backbone, monkeypatch, epochs=3)
    trainer, network = small_trainer(config, data_set, events=events)
    with_features = trainer.run()
    assert passes(events) == ["features of train", "features of validation"]

    config, data_set = pretrained(split_folder, tiny_backbone, monkeypatch, epochs=3, features={"views": "fresh"})
    trainer, whole = small_trainer(config, data_set, events=(again := []))
    end_to_end = trainer.run()
    assert passes(again) == []
    for first, second in zip(with_features.history, end_to_end.history, strict=True):
        assert first.monitored("val_loss") == pytest.approx(second.monitored("val_loss"), rel=2e-3)  # float16
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(
        network.model.predict(pictures, verbose=0), whole.model.predict(pictures, verbose=0), rtol=2e-3
    )


def test_features_are_made_again_after_the_base_was_thawed(
    split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [
        {"name": "head", "unfreeze": "none", "epochs": 1},
        {"name": "tune", "unfreeze": "all", "epochs": 2},
        {"name": "again", "unfreeze": "none", "epochs": 1, "learning_rate": 1e-12, "optimizer": "sgd"},
    ]
    events: list[Event] = []
    config, data_set = pretrained(split_folder, tiny_backbone, monkeypatch, stages=stages)
    trainer, _ = small_trainer(config, data_set, events=events)
    rows = trainer.run().history
    assert passes(events) == ["features of train", "features of validation"] * 2
    best_of_tune = min(row.monitored("val_loss") for row in rows if row.stage == "tune")
    assert rows[-1].monitored("val_loss") == pytest.approx(best_of_tune, rel=1e-3)


def test_end_to_end_the_whole_network_runs_and_the_base_stays_as_it_was(
    split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    config, data_set = pretrained(split_folder, tiny_backbone, monkeypatch, augment=True)
    trainer, network = small_trainer(config, data_set, events=events)
    before = {name: network.model.get_layer(name).get_weights() for name in network.base}
    trainer.run()
    assert passes(events) == []
    for name, weights in before.items():
        for old, new in zip(weights, network.model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_fine_tuning_moves_what_is_thawed_and_no_batch_statistics(
    split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [
        {"name": "head", "unfreeze": "none", "epochs": 1},
        {"name": "tune", "unfreeze": "tiny_norm", "epochs": 3, "learning_rate": 0.001},
    ]
    config, data_set = pretrained(split_folder, tiny_backbone, monkeypatch, stages=stages, monitor="loss")
    trainer, network = small_trainer(config, data_set)
    before = {name: network.model.get_layer(name).get_weights() for name in network.base}
    progress = trainer.run()
    assert [row.stage for row in progress.history] == ["head", "tune", "tune", "tune"]
    after = {name: network.model.get_layer(name).get_weights() for name in network.base}
    moved = {
        name
        for name, weights in before.items()
        if any(not np.array_equal(old, new) for old, new in zip(weights, after[name], strict=True))
    }
    assert progress.best is not None
    assert progress.best.stage == "tune"
    assert moved == {"tiny_conv2"}


def test_progress_starts_empty() -> None:
    assert Progress().best is None
    assert Progress().history == []


# weight averages


def test_the_average_follows_all_weights_that_train_and_lies_in_place_for_a_while(split_folder: Path) -> None:
    config, data_set = small_config(split_folder, model={**SMALL, "blocks": [{"filters": 2, "batch_norm": True}]})
    network = build_network(config, len(data_set.classes))
    average = WeightAverage(network, 0.25)
    statistics = network.model.get_layer("block1_batch_norm").moving_mean
    begin = statistics.numpy()
    statistics.assign(begin + 1.0)
    average.on_train_batch_end(0)  # momentum (1 + 1) / (10 + 1)
    expected = begin + 9 / 11
    statistics.assign(begin + 3.0)
    average.on_train_batch_end(1)  # momentum 0.25 = (1 + 2) / (10 + 2)
    expected = expected + 0.75 * (begin + 3.0 - expected)
    statistics.assign(begin + 5.0)
    average.on_train_batch_end(2)  # momentum at its limit
    expected = expected + 0.75 * (begin + 5.0 - expected)
    with average.in_place():
        np.testing.assert_allclose(statistics.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(statistics.numpy(), begin + 5.0)


def test_what_is_validated_and_kept_is_the_average(split_folder: Path) -> None:
    config, data_set = small_config(split_folder, ema=0.5, epochs=3)
    trainer, network = small_trainer(config, data_set)
    raw: list[list[Any]] = []
    train = Trainer._train

    def after(self: Trainer, *arguments: Any) -> dict[str, float]:
        found = train(self, *arguments)
        raw.append(network.model.get_weights())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train", after)
        progress = trainer.run()
    assert progress.best is not None
    kept = network.model.get_weights()
    assert not all(np.allclose(a, b) for a, b in zip(kept, raw[progress.best.epoch - 1], strict=True))
    held_out = open_pictures(data_set.split("validation"), data_set.classes, preprocessing_of(config.data))
    probabilities = network.model.predict(image_batches(held_out, 4), verbose=0)[:, 0]
    loss = -np.mean(np.log(np.where(held_out.labels == 1, probabilities, 1 - probabilities)))
    assert float(loss) == pytest.approx(progress.best.value, rel=1e-4)  # what was measured is what is kept


def test_the_average_goes_on_in_a_stage_that_continues(split_folder: Path) -> None:
    stages = [{"name": "small", "image_size": [8, 8], "epochs": 2}, {"name": "usual", "epochs": 1}]
    config, data_set = small_config(split_folder, model=GLOBAL, ema=0.9, stages=stages)
    trainer, _ = small_trainer(config, data_set)
    with pytest.MonkeyPatch.context() as patch:
        made: list[WeightAverage] = []
        init = WeightAverage.__init__

        def counted(self: WeightAverage, *arguments: Any) -> None:
            made.append(self)
            init(self, *arguments)

        patch.setattr(WeightAverage, "__init__", counted)
        trainer.run()
    assert [average.steps for average in made] == [3 * -(-len(data_set.split("train")) // 5)]


def test_pictures_of_a_size_that_is_done_are_let_go(split_folder: Path) -> None:
    stages = [{"name": "small", "image_size": [8, 8], "epochs": 1}, {"name": "usual", "epochs": 1}]
    trainer, _ = small_trainer(*small_config(split_folder, model=GLOBAL, stages=stages))
    opened: list[Any] = []
    open_size = trainer._inputs._open_pictures

    def noted(size: tuple[int, int]) -> Opened:
        pictures = open_size(size)
        opened.append(weakref.ref(pictures.train.stored))
        return pictures

    trainer._inputs._open_pictures = noted
    trainer.run()
    gc.collect()
    assert [reference() is None for reference in opened] == [True, False]


def test_training_goes_on_from_the_weights_and_not_from_their_average(split_folder: Path) -> None:
    plain, network = small_trainer(*small_config(split_folder, epochs=3, monitor="loss"))
    averaged, other = small_trainer(*small_config(split_folder, epochs=3, monitor="loss", ema=0.9))
    losses = [[row.loss for row in trainer.run().history] for trainer in (plain, averaged)]
    assert losses[0] == losses[1]
    weights = zip(network.model.get_weights(), other.model.get_weights(), strict=True)
    assert not all(np.allclose(a, b) for a, b in weights)


# stages of other image sizes


def test_a_stage_at_another_size_goes_on_with_weights_optimizer_and_schedule(split_folder: Path) -> None:
    stages = [{"name": "small", "image_size": [8, 8], "epochs": 2}, {"name": "usual", "epochs": 1}]
    config, data_set = small_config(split_folder, model=GLOBAL, schedule="cosine", stages=stages)
    events: list[Event] = []
    trainer, network = small_trainer(config, data_set, events=events)
    progress = trainer.run()
    steps = -(-len(data_set.split("train")) // 5)
    rates = [row.learning_rate for row in progress.history]
    expected = [0.01 * (1 + math.cos(math.pi * done / 3)) / 2 for done in (1, 2, 3)]
    assert rates == pytest.approx(expected, abs=1e-8)  # one cosine over three epochs
    assert int(trainer._optimizer.iterations) == 3 * steps
    assert network.model.input_shape == (None, 12, 12, 3)
    assert progress.best is not None
    assert progress.best.epoch == 3  # the only one at the size that the model is used with
    assert [event.is_best for event in events if isinstance(event, EpochDone)] == [False, False, True]


def test_the_weights_after_a_smaller_stage_are_the_last_ones_not_the_best(split_folder: Path) -> None:
    stages = [{"name": "small", "image_size": [8, 8], "epochs": 2}, {"name": "usual", "epochs": 1}]
    config, data_set = small_config(split_folder, model=GLOBAL, stages=stages, monitor="val_accuracy")
    trainer, network = small_trainer(config, data_set)
    at_end_of_stage: list[Any] = []
    run_stage = Trainer._run_stage

    def spy(self: Trainer, stage: Any) -> None:
        at_end_of_stage.append(network.model.get_weights())
        run_stage(self, stage)
        at_end_of_stage.append(network.model.get_weights())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_run_stage", spy)
        trainer.run()
    after_small, before_usual = at_end_of_stage[1:3]
    assert all(np.array_equal(a, b) for a, b in zip(after_small, before_usual, strict=True))
