"""What a training tells while it runs; whoever calls it decides how to show that."""

from collections.abc import Callable
from dataclasses import dataclass

from cnntrain.runs.history import EpochRow


@dataclass(frozen=True)
class Message:
    """A sentence for the user and the log."""

    text: str


@dataclass(frozen=True)
class StageStarted:
    """A stage begins.

    Args:
        name: Of the stage.
        number: Counted from 1.
        stages: How many there are.
        epochs: How many it has at the most.
        trainable: Parameters that train in it.
        total_epochs: Of all stages, at the most.
        continues: Whether it goes on with the weights, the optimizer and the schedule of the stage before.
    """

    name: str
    number: int
    stages: int
    epochs: int
    trainable: int
    total_epochs: int
    continues: bool = False


@dataclass(frozen=True)
class StepDone:
    """A step of a longer piece of work.

    Args:
        task: `epoch`, or what else is counted.
        step: Steps done.
        steps: Steps in all.
        loss: Mean training loss of the epoch so far; absent when nothing trains.
        accuracy: Training accuracy of the epoch so far; absent when nothing trains.
    """

    task: str
    step: int
    steps: int
    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over.

    Args:
        row: What it gave.
        total_epochs: Of all stages, at the most.
        is_best: Whether its weights are the best so far.
    """

    row: EpochRow
    total_epochs: int
    is_best: bool


Event = Message | StageStarted | StepDone | EpochDone
OnEvent = Callable[[Event], None]


def as_line(event: Event) -> str | None:
    """An event as one line for a log, nothing for single steps."""
    match event:
        case Message():
            return event.text
        case StageStarted():
            return (
                f"stage {event.name} ({event.number} of {event.stages}): up to {event.epochs} epochs, "
                f"{event.trainable:,} parameters train" + (", optimizer and schedule go on" if event.continues else "")
            )
        case EpochDone():
            return _epoch_line(event)
        case _:
            return None


def _epoch_line(event: EpochDone) -> str:
    row = event.row
    width = len(str(event.total_epochs))
    parts = [f"epoch {row.epoch:>{width}}/{event.total_epochs}", f"loss {row.loss:.4f}", f"accuracy {row.accuracy:.4f}"]
    if row.val_loss is not None and row.val_accuracy is not None:
        parts += [f"val_loss {row.val_loss:.4f}", f"val_accuracy {row.val_accuracy:.4f}"]
    parts += [f"{row.seconds:.1f} s", f"{row.images_per_second:.0f} images/s"]
    return "  ".join(parts) + ("  best" if event.is_best else "")


def pictures_told(on_event: OnEvent, count: int) -> Callable[[int], None]:
    """What tells a listener how many of `count` pictures have been looked at."""
    return lambda done: on_event(StepDone("pictures looked at", done, count))


def ignore(event: Event) -> None:
    """Takes an event and says nothing."""
