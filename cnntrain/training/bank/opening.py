"""The features that a stage trains on: found in a bank, or made from pictures or from the features of a lower cut."""

import time
from collections.abc import Mapping
from contextlib import suppress
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
from cnntrain.training.bank.making import Check, Inputs, make, pass_rows
from cnntrain.training.bank.planning import StageCut, in_bytes
from cnntrain.training.bank.shelf import Shelf
from cnntrain.training.events import Message, OnEvent


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

    def open(self, network: Network, cut: StageCut, pictures: Mapping[str, Pictures]) -> dict[str, Features] | None:
        """The features that a stage begins with; what is not in the bank is made.

        Args:
            network: At the size of the stage's pictures, with the weights that the stage begins with.
            cut: Where the stage begins to train.
            pictures: By split, `train` and `validation`; versions are made of the training pictures only.

        Returns:
            The features of each split; nothing where the bank cannot be written or read, which is told: the stage can
            still train on pictures.

        Raises:
            DataError: A picture has changed since it was looked at.
        """
        start = time.perf_counter()
        try:
            return self.features(network, cut, pictures)
        except (WriteError, OSError, IncompleteBankError) as error:
            why = str(error) if isinstance(error, WriteError) else f"features cannot be read ({error})"
            way = "runs all layers in every epoch instead"
            without = ", without train.features.brightness" if self._config.train.features.brightness else ""
            self._on_event(Message(f"warning: {why}; stage {cut.stage} {way}{without}"))
            return None
        finally:
            self.seconds += time.perf_counter() - start

    def touch(self) -> None:
        """Notes that the banks are still used, so that they are not the first that other runs make room of."""
        self._shelf.touch(self._used)

    def features(self, network: Network, cut: StageCut, pictures: Mapping[str, Pictures]) -> dict[str, Features]:
        """The features of each split, as `open` gives them.

        Args:
            network: As there.
            cut: As there.
            pictures: By split; versions are made of those of `train` only.

        Raises:
            DataError: A picture has changed since it was looked at.
            WriteError: There is no room for the bank.
            OSError: The bank cannot be written or read.
            IncompleteBankError: Another process has removed it meanwhile.
        """
        start = time.perf_counter()
        splits = [
            _Split(network, cut, of_split, name, self._views if name == "train" else 1, self._config)
            for name, of_split in pictures.items()
        ]
        found = {split.name: self._features(split, str(cut.cut)) for split in splits}
        count, made = sum(split.rows for split in splits), sum(done for _, done in found.values())
        seconds = time.perf_counter() - start
        rate = f"{made / seconds:.1f} images/s"
        how = "found in the cache" if not made else rate if made == count else f"{made:,} were made now, {rate}"
        self._on_event(Message(f"the features of {count:,} pictures at {cut.cut} took {seconds:.1f} s ({how})"))
        return {name: features for name, (features, _) in found.items()}

    def _features(self, split: "_Split", cut: str) -> tuple[Features, int]:
        """The features at a cut, and how many pictures had to be run for them."""
        contents = split.contents(cut)
        self._used.add(contents.key)
        bank = self._shelf.open(contents)
        if not _missing(bank, split.views):
            with suppress(IncompleteBankError):  # removed by another run in this moment
                return Features(split.pictures.labels, bank.open(split.views)), 0
        with self._shelf.lock(contents.key, waiting=self._waits):
            made = self._make(bank, split, cut)
            return Features(split.pictures.labels, bank.open(split.views)), made

    def _make(self, bank: Bank, split: "_Split", cut: str) -> int:
        """Makes what no other run has made meanwhile, and tells how many pictures that were."""
        missing = _missing(bank, split.views)
        if not missing:
            return 0
        inputs, check, lower = self._inputs(split, cut)
        needed = missing * bank.contents.row_bytes
        if not self._shelf.make_room(needed, keep=self._used):
            raise WriteError(
                f"stored features of {in_bytes(needed)} do not fit into {self._shelf.folder} "
                "(free some room, or raise CNNTRAIN_CACHE_LIMIT)"
            )
        way = f"from {lower} to {cut}" if lower else f"up to {cut}"
        self._on_event(Message(f"{missing:,} pictures of {split.name} run once through the layers {way}"))
        part = split.network.extractor(cut, lower)
        make(bank, split.views, part, inputs, check, rows=split.rows_a_pass, on_event=self._on_event)
        return missing

    def _inputs(self, split: "_Split", cut: str) -> tuple[Inputs, Check, str | None]:
        """What the frozen layers up to a cut are run over, and the name of the lower cut that it comes from."""
        lowest = split.cut.lowest
        if lowest is None or lowest == cut:
            return split.batches, split.check_files, None
        lower, _ = self._features(split, lowest)
        return partial(_rows_of, lower, split.rows_a_pass), lambda _: None, lowest

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
    def rows_a_pass(self) -> int:
        return pass_rows(self.pictures.preprocessing.shape[:2])

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
        return view_batches(self.pictures, order, batch_size=self.rows_a_pass, augment=augment, seed=seed, view=view)


def _rows_of(lower: Features, batch_size: int, view: int, order: npt.NDArray[np.int64]) -> Any:
    """Batches of the features of a lower cut."""
    return feature_batches(lower, view * len(lower) + order, batch_size=batch_size)


def _missing(bank: Bank, views: int) -> int:
    """How many pictures of a bank are still to be made, versions counted each."""
    return sum(len(shard) for view in range(views) for shard in bank.missing(view))
