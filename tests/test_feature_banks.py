"""Training on stored features: the same as on pictures, made once, and found again by whatever decides them."""

import ast
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from small_training import passes, pretrained, small_trainer

import cnntrain.data
from cnntrain.config.sections import Augment
from cnntrain.data.decoder import preprocessing_of
from cnntrain.data.pipeline import Pictures, open_pictures
from cnntrain.errors import DataError, WriteError
from cnntrain.models.network import Network, build_network
from cnntrain.runs.history import EpochRow
from cnntrain.training.bank.bank import Bank
from cnntrain.training.bank.keys import _MODULES, contents_of
from cnntrain.training.bank.making import pass_rows
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.events import Event, Message
from cnntrain.training.loop import Trainer

LP_FT = [
    {"name": "head", "unfreeze": "none", "epochs": 2},
    {"name": "tune", "unfreeze": "tiny_conv2", "epochs": 2, "learning_rate": 0.001},
]
TASKS = ["features of train", "features of validation"]


class Fit:
    """Fits a small pretrained network and notes what happened."""

    def __init__(self, folder: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._tiny, self._monkeypatch = folder, tiny, monkeypatch

    def trainer(self, **options: Any) -> tuple[Trainer, Network]:
        self.events: list[Event] = []
        config, data_set = pretrained(self._folder, self._tiny, self._monkeypatch, **options)
        return small_trainer(config, data_set, events=self.events)

    def __call__(self, **options: Any) -> Sequence[EpochRow]:
        return self.trainer(**options)[0].run().history

    @property
    def passes(self) -> list[str]:
        return passes(self.events)

    @property
    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]


@pytest.fixture
def fit(split_folder: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> Fit:
    return Fit(split_folder, tiny_backbone, monkeypatch)


def _values(rows: Sequence[EpochRow]) -> list[tuple[Any, ...]]:
    return [(row.stage, row.loss, row.accuracy, row.val_loss, row.val_accuracy) for row in rows]


def test_training_on_the_versions_of_the_epochs_is_training_on_pictures(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version v is what epoch v + 1 shows end to end. So with one an epoch, in that order, both trainings are equal."""
    from cnntrain.data import features

    monkeypatch.setattr(features, "draw_views", lambda count, _, *, epoch, **__: np.full(count, epoch - 1))
    stored = fit(augment=True, stages=LP_FT, features={"views": 4})
    assert fit.passes
    fresh = fit(augment=True, stages=LP_FT, features={"views": "fresh"})
    assert not fit.passes
    for first, second in zip(stored, fresh, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=2e-3)
        assert first.val_loss == pytest.approx(second.val_loss, rel=2e-3)


def test_one_pass_at_the_lowest_cut_serves_all_stages(fit: Fit) -> None:
    fit(augment=True, stages=LP_FT, features={"views": 3})
    # 24 training pictures are one batch a version, from the picture to the lower cut, then on to the higher one.
    assert fit.passes == ["features of train"] * 6 + ["features of validation"] * 2
    told = [message for message in fit.messages if "run once" in message]
    assert told == [
        "72 pictures of train run once through the layers up to tiny_dropout",
        "72 pictures of train run once through the layers from tiny_dropout to tiny_conv2",
        "12 pictures of validation run once through the layers up to tiny_dropout",
        "12 pictures of validation run once through the layers from tiny_dropout to tiny_conv2",
    ]


def test_a_later_run_with_another_head_finds_the_features(fit: Fit) -> None:
    first = fit()
    assert fit.passes == TASKS
    second = fit(learning_rate=0.02, label_smoothing=0.1)
    assert fit.passes == []
    assert any("found in the cache" in message for message in fit.messages)
    assert _values(fit()) == _values(first)
    assert second[0].loss != first[0].loss


def test_more_versions_are_added_to_those_that_are_there(fit: Fit) -> None:
    fit(augment=True, features={"views": 1})
    fit(augment=True, features={"views": 3})
    assert fit.passes == ["features of train"] * 2
    fit(augment=True, features={"views": 2})
    assert fit.passes == []


def test_runs_with_several_seeds_share_the_versions_of_one(fit: Fit) -> None:
    """The seed of the versions is that of the run unless it is said."""
    config, _ = fit.trainer(augment=True, features={"views": 2, "seed": 1337})
    config.run()
    trainer, _ = fit.trainer(augment=True, features={"views": 2})
    assert trainer._config.seed == 1337
    trainer.run()
    assert fit.passes == []


def test_the_size_of_batches_plays_no_part(fit: Fit) -> None:
    fit()
    fit(batch_size=7)
    assert fit.passes == []


@pytest.mark.parametrize(
    ("size", "rows"),
    [((24, 24), 32), ((256, 256), 32), ((257, 256), 16), ((512, 512), 8), ((1024, 1000), 2), ((8192, 8192), 1)],
)
def test_fewer_large_pictures_go_through_frozen_layers_at_once(size: tuple[int, int], rows: int) -> None:
    """32 × 256 × 256 pixels at the most, and a power of two, of which shards are made."""
    assert pass_rows(size) == rows


def test_brightness_changes_what_is_trained_on_and_not_what_is_validated_on(fit: Fit) -> None:
    still = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 2}
    plain = fit(**still)
    bright = fit(**still, features={"views": 1, "brightness": 0.5})
    assert fit.passes == []
    assert [row.val_loss for row in bright] == [row.val_loss for row in plain]
    assert bright[0].loss != plain[0].loss
    assert bright[0].loss != bright[1].loss  # drawn anew every epoch
    assert plain[0].loss == pytest.approx(plain[1].loss, rel=1e-5)


def test_a_full_disk_ends_in_training_on_pictures(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = fit(augment=True, stages=LP_FT, features={"views": "fresh"})
    written: list[int] = []
    write = Bank.write

    def full(self: Bank, view: int, first: int, features: Any) -> None:
        if len(written) == 2:
            raise WriteError("cannot write shard: No space left on device; free some room")
        written.append(view)
        write(self, view, first, features)

    monkeypatch.setattr(Bank, "write", full)
    rows = fit(augment=True, stages=LP_FT, features={"views": 4})
    assert _values(rows) == _values(fresh)
    warnings = [message for message in fit.messages if message.startswith("warning: ")]
    assert len(warnings) == 2
    assert warnings[0] == (
        "warning: cannot write shard: No space left on device; free some room; "
        "stage head runs all layers in every epoch instead"
    )
    monkeypatch.setattr(Bank, "write", write)
    fit(augment=True, stages=LP_FT, features={"views": 4})
    assert fit.passes.count("features of train") == 2 + 4  # two of four versions were kept, then those of the other cut


def test_a_limit_that_is_too_low_ends_in_training_on_pictures(fit: Fit) -> None:
    trainer, _ = fit.trainer()
    shelf = trainer._inputs._banks._shelf
    trainer._inputs._banks._shelf = Shelf(shelf.folder, 100)
    rows = trainer.run().history
    assert "CNNTRAIN_CACHE_LIMIT" in fit.messages[0]
    assert "do not fit" in fit.messages[0]
    assert _values(rows) == _values(fit(features={"views": "fresh"}))


def test_a_bank_that_goes_while_it_is_read_does_no_harm(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(epochs=3)
    trainer, _ = fit.trainer(epochs=3)
    folder = trainer._inputs._banks._shelf.folder
    run_epochs = Trainer._run_epoch

    def gone(self: Trainer, *arguments: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        run_epochs(self, *arguments)

    monkeypatch.setattr(Trainer, "_run_epoch", gone)
    assert _values(trainer.run().history) == _values(whole)


def test_a_picture_that_changes_meanwhile_spoils_no_bank(fit: Fit, split_folder: Path) -> None:
    trainer, _ = fit.trainer()
    first, second = sorted((split_folder / "train" / "cat").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=f"{first.name} has gone or changed since it was looked at"):
        trainer.run()
    assert not list(trainer._inputs._banks._shelf.folder.rglob("*.npy"))


def test_a_bank_that_is_removed_while_it_is_opened_is_made_again(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit()
    trainer, _ = fit.trainer()
    opened, folder = Bank.open, trainer._inputs._banks._shelf.folder

    def removed(self: Bank, views: int) -> Any:
        monkeypatch.setattr(Bank, "open", opened)
        shutil.rmtree(folder, ignore_errors=True)
        return opened(self, views)

    monkeypatch.setattr(Bank, "open", removed)
    assert _values(trainer.run().history) == _values(first)
    assert fit.passes == TASKS


def test_banks_in_use_are_not_the_oldest(fit: Fit) -> None:
    trainer, _ = fit.trainer()
    trainer.run()
    (first, *_) = trainer._inputs._banks._shelf.folder.glob("*/bank.json")
    os.utime(first, (0, 0))
    trainer._inputs._banks.touch()
    assert first.stat().st_mtime > 0


def test_nothing_is_opened_where_there_is_nothing_to_interpolate(fit: Fit) -> None:
    stages = [LP_FT[0], {**LP_FT[1], "learning_rate": 1e-30, "optimizer": "sgd"}]
    fit(stages=stages, interpolate=True, monitor="val_accuracy")
    assert fit.messages[-1].startswith("nothing to interpolate")


# keys


@pytest.fixture
def pictures(fit: Fit) -> tuple[Network, Pictures]:
    trainer, network = fit.trainer()
    return network, trainer._inputs._open_pictures((12, 12)).train


def _key(network: Network, pictures: Pictures, *, cut: str = "tiny_conv2", **changes: Any) -> str:
    known = {"backbone": "tiny", "split": "train", "augment": Augment(), "seed": 1}
    return contents_of(network.extractor(cut), pictures, cut=cut, **{**known, **changes}).key


def test_a_key_is_the_same_for_the_same_features(pictures: tuple[Network, Pictures], fit: Fit) -> None:
    network, opened = pictures
    key = _key(network, opened)
    assert key == _key(*pictures)
    moved = replace(opened, paths=tuple(f"elsewhere/{path}" for path in opened.paths))
    assert _key(network, moved) == key
    assert _key(network, replace(opened, labels=1 - opened.labels)) == key
    assert _key(network, opened, seed=2) == key  # nothing is changed, so the seed plays no part
    _, again = fit.trainer()
    again.model.set_weights(network.model.get_weights())
    assert _key(again, opened) == key  # not by the names that Keras gives its models


def test_the_size_that_a_network_was_built_for_is_not_in_the_key(fit: Fit) -> None:
    trainer, _ = fit.trainer()
    config, opened = trainer._config, trainer._inputs._open_pictures((12, 12)).train
    head = config.model.head.model_copy(update={"pooling": "global_average"})
    model = config.model.model_copy(update={"head": head})
    found = set()
    for size in ((12, 12), (16, 16)):
        data = config.data.model_copy(update={"image_size": size})
        keras.utils.set_random_seed(1)
        network = build_network(config.model_copy(update={"data": data, "model": model}), 2)
        found |= {_key(network.resized((12, 12)), opened)}
    assert len(found) == 1


def test_whatever_decides_the_features_is_in_the_key(pictures: tuple[Network, Pictures]) -> None:
    network, opened = pictures
    flip = Augment(flip="horizontal")
    keys = [
        _key(network, opened),
        _key(network, opened, cut="tiny_dropout"),
        _key(network, opened, augment=flip),
        _key(network, opened, augment=flip, seed=2),
        _key(network, opened, augment=Augment(flip="horizontal", rotation=10.0)),
        _key(network, replace(opened, checksums=opened.checksums[::-1])),
        _key(network, replace(opened, checksums=("0" * 64, *opened.checksums[1:]))),
        _key(network, replace(opened, preprocessing=replace(opened.preprocessing, resize="crop"))),
    ]
    weights = network.model.get_weights()
    weights[0][0, 0, 0, 0] += 1e-6
    network.model.set_weights(weights)
    keys.append(_key(network, opened))
    assert len(set(keys)) == len(keys)


def test_what_trains_is_not_in_the_key(pictures: tuple[Network, Pictures]) -> None:
    network, opened = pictures
    key = _key(network, opened, cut="tiny_dropout")
    network.model.get_layer("logits").kernel.assign_add(network.model.get_layer("logits").kernel)
    network.model.get_layer("tiny_conv2").kernel.assign_add(network.model.get_layer("tiny_conv2").kernel)
    assert _key(network, opened, cut="tiny_dropout") == key


def test_mixing_is_not_in_the_key(pictures: tuple[Network, Pictures]) -> None:
    network, opened = pictures
    flip = Augment(flip="horizontal")
    assert _key(network, opened, augment=flip) == _key(network, opened, augment=flip.model_copy(update={"mixup": 0.2}))


def test_pictures_that_were_not_looked_at_have_no_key(pictures: tuple[Network, Pictures]) -> None:
    network, opened = pictures
    with pytest.raises(ValueError, match="without checksums"):
        _key(network, replace(opened, checksums=("", *opened.checksums[1:])))


def test_opened_pictures_know_the_contents_of_their_files(fit: Fit) -> None:
    trainer, _ = fit.trainer()
    opened = trainer._inputs._open_pictures((12, 12)).train
    from cnntrain.files import sha256

    assert opened.checksums == tuple(sha256(path) for path in opened.paths)
    assert open_pictures([], ("cat", "dog"), preprocessing_of(trainer._config.data)).checksums == ()


def test_all_code_that_decides_the_features_is_in_the_key() -> None:
    """Whatever the modules in the key take from `cnntrain.data` is in it too."""
    listed = set(_MODULES)
    folder = Path(cnntrain.data.__file__).parent
    for module in _MODULES:
        tree = ast.parse((folder / module).read_text(encoding="utf-8"))
        sources = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = [source.split(".")[2:] for source in sources if source.startswith("cnntrain.data.")]
        assert {"/".join(name) + ".py" for name in names} <= listed
