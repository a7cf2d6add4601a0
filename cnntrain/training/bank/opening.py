"""The features that a stage trains on: found in a bank, or made from pictures or from the features of a lower cut."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cnntrain.config.sections import Augment, Config, Pretrained
from cnntrain.data.features import Features, feature_batches
from cnntrain.data.inspection import checksum
from cnntrain.data.pipeline import Pictures, view_batches
from cnntrain.errors import DataError, WriteError
from cnntrain.models.network import Network
from cnntrain.training.bank.bank import Bank, Contents, IncompleteBankError
from cnntrain.training.bank.keys import contents_of
from cnntrain.training.bank.making import BATCH, Check, Inputs, make
from cnntrain.training.bank.planning import StageCut
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.events import Message, OnEvent


@dataclass(frozen=True)
class OpenedFeatures:
    """The features of a training at one cut.

    Args:
        train: Of the training pictures, in every version.
        validation: Of the validation pictures, absent where there are none.
    """

    train: Features
    validation: Features | None


class FeatureBanks:
    """Gives the stages of one training their features.

    Args:
        config: What is trained.
        shelf: Where the banks are.
        on_event: Told what happens.
        views: How many versions of each training picture there are.
    """

    def __init__(self, config: Config, shelf: Shelf, on_event: OnEvent, *, views: int) -> None:
        self._config = config
        self._views = views
        self._shelf = shelf
        self._on_event = on_event
        self._used: set[str] = set()
        self.seconds = 0.0

    def open(
        self, network: Network, cut: StageCut, train: Pictures, validation: Pictures | None
    ) -> OpenedFeatures | None:
        """The features that a stage begins with; what is not in the bank is made.

        Args:
            network: At the size of the stage's pictures, with the weights that the stage begins with.
            cut: Where the stage begins to train.
            train: Training pictures.
            validation: Validation pictures, where there are any.

        Returns:
            Nothing where the bank cannot be written or read, which is told: the stage can still train on pictures.
        """
        start = time.perf_counter()
        try:
            opened = self._open(network, cut, train, validation)
        except (WriteError, OSError, IncompleteBankError) as error:
            why = str(error) if isinstance(error, WriteError) else f"features cannot be read ({error})"
            self._on_event(Message(f"warning: {why}; stage {cut.stage} runs all layers in every epoch instead"))
            return None
        finally:
            self.seconds += time.perf_counter() - start
        return opened

    def _open(self, network: Network, cut: StageCut, train: Pictures, validation: Pictures | None) -> OpenedFeatures:
        start = time.perf_counter()
        splits = [_Split(network, cut, train, "train", self._views, self._config)]
        if validation is not None:
            splits.append(_Split(network, cut, validation, "validation", 1, self._config))
        found = [self._features(split, str(cut.cut)) for split in splits]
        count, made = sum(split.rows for split in splits), sum(done for _, done in found)
        seconds = time.perf_counter() - start
        how = f"{made / seconds:.1f} images/s" if made else "found in the cache"
        self._on_event(Message(f"the features of {count:,} pictures at {cut.cut} took {seconds:.1f} s ({how})"))
        return OpenedFeatures(found[0][0], found[1][0] if validation is not None else None)

    def _features(self, split: "_Split", cut: str) -> tuple[Features, int]:
        """The features at a cut, and how many pictures had to be run for them."""
        contents = split.contents(cut)
        self._used.add(contents.key)
        bank = self._shelf.open(contents)
        if not _missing(bank, split.views):
            return Features(split.pictures.labels, bank.open(split.views)), 0
        with self._shelf.lock(contents.key, waiting=self._waits):
            made = self._make(bank, split, cut)
            return Features(split.pictures.labels, bank.open(split.views)), made

    def _make(self, bank: Bank, split: "_Split", cut: str) -> int:
        """Makes what is missing now; another run may have made it in the meantime."""
        missing = _missing(bank, split.views)
        if not missing:
            return 0
        inputs, check, lower = self._inputs(split, cut)
        needed = missing * bank.contents.row_bytes
        if not self._shelf.make_room(needed, keep=self._used):
            raise WriteError(
                f"stored features of {needed / 1e6:,.0f} MB do not fit into {self._shelf.folder} "
                "(free some room, or raise CNNTRAIN_CACHE_LIMIT)"
            )
        way = f"from {lower} to {cut}" if lower else f"up to {cut}"
        self._on_event(Message(f"{missing:,} pictures of {split.name} run once through the layers {way}"))
        part = split.network.extractor(cut, lower)
        return make(bank, split.views, part, inputs, check, on_event=self._on_event)

    def _inputs(self, split: "_Split", cut: str) -> tuple[Inputs, Check, str | None]:
        """What the frozen layers up to a cut are run over, and the name of the lower cut that it comes from."""
        lowest = split.cut.lowest
        if lowest is None or lowest == cut:
            return split.batches, split.check_files, None
        lower, _ = self._features(split, lowest)
        return partial(_rows_of, lower), lambda _: None, lowest

    def _waits(self) -> None:
        self._on_event(Message("another run makes these features; waiting for it"))


@dataclass(frozen=True)
class _Split:
    """The pictures of a split and the frozen layers that they go through."""

    network: Network
    cut: StageCut
    pictures: Pictures
    name: str
    views: int
    config: Config

    @property
    def rows(self) -> int:
        return self.views * len(self.pictures)

    @property
    def _changes(self) -> tuple[Augment, int]:
        """How the versions are changed, and the seed of that."""
        seed = self.config.train.features.seed
        augment = self.config.augment if self.name == "train" else Augment()
        return augment, self.config.seed if seed is None else seed

    def contents(self, cut: str) -> Contents:
        augment, seed = self._changes
        model = self.config.model
        return contents_of(
            self.network.extractor(cut),
            self.pictures,
            backbone=model.backbone if isinstance(model, Pretrained) else model.kind,
            cut=cut,
            split=self.name,
            augment=augment,
            seed=seed,
        )

    def check_files(self, rows: range) -> None:
        """Pictures that were changed since they were looked at must not lie in a bank under what they were.

        Raises:
            DataError: One of these has gone or changed.
        """
        for row in rows:
            path = self.pictures.paths[row]
            if checksum(path) != self.pictures.checksums[row]:
                raise DataError(f"{path} has gone or changed since it was looked at; put it back and try again")

    def batches(self, view: int, order: npt.NDArray[np.int64]) -> Any:
        augment, seed = self._changes
        return view_batches(self.pictures, order, batch_size=BATCH, augment=augment, seed=seed, view=view)


def _rows_of(lower: Features, view: int, order: npt.NDArray[np.int64]) -> Any:
    """Batches of the features of a lower cut."""
    return feature_batches(lower, view * len(lower) + order, batch_size=BATCH)


def _missing(bank: Bank, views: int) -> int:
    """How many pictures of a bank are still to be made, versions counted each."""
    return sum(len(shard) for view in range(views) for shard in bank.missing(view))
