"""What a training needs to go on, taken from its variables and put back, and how often that is saved."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnntrain.config.stages import StagePlan
from cnntrain.errors import RunError
from cnntrain.models.network import Network
from cnntrain.runs.state import Arrays, State, States
from cnntrain.training.averaging import WeightAverage
from cnntrain.training.compiling import optimizer_variables
from cnntrain.training.progress import Progress, Weights

_KEPT_SETS = ("best_weights", "stage_weights", "head_weights")
_NOW = "now"
_FOREIGN = (
    "the state is of another network or another cnntrain; choose another --run-dir, or train anew with --overwrite"
)
_SHARE = 50.0  # a state is due after that many times the seconds that the last one took


@dataclass(frozen=True)
class Restored:
    """What a state holds besides the variables of the network.

    Args:
        progress: How far the training was.
        optimizer: Values of the optimizer's variables; none where a stage was about to begin with a new one.
        average: Values of the moving average of the weights, and how many steps it has followed.
        metrics: Values of the metrics' variables within an epoch.
        rate: The learning rate of the stage, before any schedule or reduction.
    """

    progress: Progress
    optimizer: Weights
    average: tuple[Weights, int]
    metrics: Weights
    rate: float


class Checkpointed:
    """The variables of a network that a state holds, and those that are frozen in all stages.

    Args:
        network: What is trained.
        stages: All of them.
        keeps_head: Whether the best weights of the head are needed at the end.
    """

    def __init__(self, network: Network, stages: Sequence[StagePlan], *, keeps_head: bool) -> None:
        model = network.model
        names = frozenset[str]().union(*(network.training_layers(stage.unfreeze) for stage in stages))
        moving = {id(weight) for layer in model.layers if layer.name in names for weight in layer.weights}
        weights = {id(weight) for weight in model.weights}
        self._model = model
        self._stage_count = len(stages)
        self._moving = [index for index, weight in enumerate(model.weights) if id(weight) in moving]
        self._fixed = [index for index, weight in enumerate(model.weights) if id(weight) not in moving]
        self._seeds = [variable for variable in model.variables if id(variable) not in weights]
        self._sets = _KEPT_SETS if keeps_head else _KEPT_SETS[:-1]

    def frozen(self) -> Arrays:
        """The weights that never change, by name."""
        return {f"weights/{index}": _array(self._model.weights[index]) for index in self._fixed}

    def take(
        self,
        progress: Progress,
        optimizer: Any,
        average: WeightAverage | None,
        metrics: Sequence[Any],
    ) -> State:
        """The state of a training as it is now.

        Args:
            progress: How far it is.
            optimizer: Absent where a stage is about to begin with a new one.
            average: Absent where none is made.
            metrics: The metrics' variables within an epoch, nothing between epochs.
        """
        weights = self._model.weights
        sets = {_NOW: [_array(weights[index]) for index in self._moving]}
        for name in self._sets:
            kept: Weights | None = getattr(progress, name)
            if kept is not None:
                sets[name] = [kept[index] for index in self._moving]
        stored, places = _shared(sets)
        parts = {
            **{f"set_{number}": arrays for number, arrays in enumerate(stored)},
            "seeds": [_array(seed) for seed in self._seeds],
            "optimizer": [_array(variable) for variable in optimizer_variables(optimizer)] if optimizer else [],
            "average": [_array(variable) for variable in average.averages] if average else [],
            "metrics": [_array(variable) for variable in metrics],
        }
        arrays = {f"{name}/{index}": array for name, part in parts.items() for index, array in enumerate(part)}
        info = {"progress": progress.to_json(), "sets": places, "averaged": average.steps if average else 0}
        return State(arrays, self.frozen, info)

    def demand_fit(self, state: State) -> None:
        """Makes sure that a state is of this network and has a stage that there is. Raises RunError."""
        number = state.info["progress"]["stage"]
        if number > self._stage_count:
            raise RunError(f"the state is of stage {number}, and there are {self._stage_count}; add that one again")
        shapes = {index: tuple(weight.shape) for index, weight in enumerate(self._model.weights)}
        fixed = {index: array.shape for index, array in _numbered(state.frozen(), "weights").items()}
        moving = [shapes[index] for index in self._moving]
        sets = [[array.shape for array in _part(state, f"set_{place}")] for place in state.info["sets"].values()]
        if any(found != moving for found in sets) or any(fixed.get(i) != shapes[i] for i in self._fixed):
            raise RunError(_FOREIGN)

    def put_back(self, state: State) -> Restored:
        """Gives the network the weights of a state, and whoever asks the rest.

        Raises:
            RunError: The arrays of the state are not those of the network, or its stage is not there.
        """
        self.demand_fit(state)
        frozen = _numbered(state.frozen(), "weights")
        sets = {
            name: self._completed(frozen, _part(state, f"set_{place}")) for name, place in state.info["sets"].items()
        }
        assign(self._model.weights, sets.pop(_NOW))
        assign(self._seeds, _part(state, "seeds"))
        try:
            progress = Progress.from_json(state.info["progress"], sets)
        except (TypeError, KeyError) as error:
            raise RunError(_FOREIGN) from error
        average = (_part(state, "average"), int(state.info["averaged"]))
        optimizer, metrics = _part(state, "optimizer"), _part(state, "metrics")
        return Restored(progress, optimizer, average, metrics, progress.stage_rate * progress.rate_factor)

    def _completed(self, frozen: Mapping[int, npt.NDArray[Any]], moving: Weights) -> Weights:
        """All weights of the network in order, from those that change and those that do not."""
        whole = {**frozen, **dict(zip(self._moving, moving, strict=True))}
        return [whole[index] for index in range(len(self._model.weights))]


class Checkpoints:
    """The states of one run: saved as often as is asked or as time allows, and the newest read back.

    Args:
        states: Where they lie.
        about: What is trained with what: stands in every state.
    """

    def __init__(self, states: States, about: Mapping[str, Any]) -> None:
        self._states = states
        self._about = about
        self._cost = 0.0
        self._saved_at = time.perf_counter()

    def save(self, take: Callable[[], State], *, is_due: bool = False, is_between_epochs: bool = True) -> float:
        """Saves a state, if it is due or the time since the last one is long compared with what saving takes.

        Args:
            take: Gives it.
            is_due: Whether it is.
            is_between_epochs: Whether it is one that a run can go back to, wherever it was interrupted.

        Returns:
            Seconds that it took.

        Raises:
            WriteError: It cannot be written.
        """
        start = time.perf_counter()
        if not is_due and start - self._saved_at < _SHARE * self._cost:
            return 0.0
        state = take()
        about = {**state.info, "about": self._about}
        self._states.write(State(state.arrays, state.frozen, about), is_anchor=is_between_epochs)
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - start
        return self._cost

    def last_between_epochs(self, frozen: Callable[[], Arrays]) -> State:
        """The last state between two epochs. Raises RunError where it and the newest are damaged."""
        return self._states.read_anchor(frozen)


def is_finite(state: State) -> bool:
    """Whether all weights of a state that may change are finite as they are now."""
    return all(np.isfinite(array).all() for array in _part(state, f"set_{state.info['sets'][_NOW]}"))


def assign(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]]) -> bool:
    """Gives variables their values, if their numbers and shapes are the same; tells whether they are."""
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        return False
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return True


def _array(variable: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = variable.numpy()  # a copy
    return array


def _shared(sets: Mapping[str, Weights]) -> tuple[list[Weights], dict[str, int]]:
    """The sets that differ, and which of them each name means."""
    stored: list[Weights] = []
    places = {}
    for name, arrays in sets.items():
        same = (place for place, other in enumerate(stored) if all(map(np.array_equal, arrays, other)))
        places[name] = next(same, len(stored))
        if places[name] == len(stored):
            stored.append(arrays)
    return stored, places


def _part(state: State, name: str) -> Weights:
    """The arrays of a part of a state, in order."""
    return [array for _, array in sorted(_numbered(state.arrays, name).items())]


def _numbered(arrays: Arrays, name: str) -> dict[int, npt.NDArray[Any]]:
    """The arrays of a part by their numbers."""
    keys = {key: key.partition("/") for key in arrays}
    return {int(index): arrays[key] for key, (part, _, index) in keys.items() if part == name}
