"""`cnntrain lr-find`: which learning rate a configuration's network takes."""

import csv
import io
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.config import Config, Source, load_config, nearest, shown
from cnntrain.config.stages import StagePlan, plan_stages
from cnntrain.errors import UsageError, WriteError
from cnntrain.files import write_together
from cnntrain.runtime import DeviceChoice, prepare
from cnntrain.training.events import Message, OnEvent, ignore

if TYPE_CHECKING:
    from cnntrain.training.lr_find import RangeTest, Suggestion

_HEADER = "step,learning_rate,loss,smoothed"


@dataclass(frozen=True)
class LearningRates:
    """What a range test found.

    Args:
        stage: The stage that was tested.
        steps: Training steps that were planned; the test ends early once the loss explodes.
        rates: The learning rate of each step that was made.
        losses: The loss of its batch alone.
        smoothed: Their moving average.
        suggestion: The lower of the next two, which are absent, as it is, where the loss never falls.
        minimum: A tenth of the rate of the smallest smoothed loss.
        steepest: The rate at which the smoothed loss falls most.
        is_open: Whether the loss was still falling at the last rate, so that higher ones may be better.
        yaml: The suggestion as a line of the configuration; empty without one.
        plot: The PNG file.
        table: The CSV file with a row a step.
    """

    stage: str
    steps: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    minimum: float | None
    steepest: float | None
    is_open: bool
    yaml: str
    plot: Path
    table: Path

    @property
    def note(self) -> str:
        """What keeps the suggestion from being one; empty where nothing does."""
        first, last = self.rates[0], self.rates[-1]
        if self.suggestion is None:
            return (
                f"no suggestion: the loss does not fall from {first:.1e} to {last:.1e}; "
                "look at the plot, then try other rates or more steps"
            )
        return (
            f"the loss is still falling at {last:.1e}: see in the plot what higher rates may do" if self.is_open else ""
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        fields = {name: value for name, value in vars(self).items() if name not in ("plot", "table")}
        return {"format": 1, **fields, "note": self.note, "plot": str(self.plot), "table": str(self.table)}


def find_learning_rate(
    config: Source,
    *,
    overrides: str | Sequence[str] = (),
    stage: str | None = None,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    output: str | Path | None = None,
    device: DeviceChoice = "auto",
    on_event: OnEvent | None = None,
) -> LearningRates:
    """Trains the network of a configuration for a while with a growing learning rate; draws and keeps the losses.

    There is no run and no model afterwards, only a PNG file and beside it a CSV file of the same name. Both replace
    those of an earlier test. Keras's global random state is seeded with the configuration's seed.

    Args:
        config: A configuration, the path of a YAML file, or a mapping of the same shape.
        overrides: `KEY=VALUE` with dotted keys, as `--set` takes them.
        stage: Name of the stage that is tested, on the initial weights; the first when absent.
        start: The first learning rate, above zero.
        end: The last one, above the first.
        steps: Training steps at the most, 10 or more.
        output: The PNG file; when absent `lr_find/` with the configuration's name, and the stage's if it was named.
        device: `auto`, `cpu` or `gpu`.
        on_event: Told what happens.

    Raises:
        UsageError: The rates, the steps, the stage or the name of the file break their rules.
        ConfigError: The configuration has problems; all of them are named.
        DataError: Pictures are missing, damaged or too few.
        ModelFileError: The pretrained weights cannot be used.
        TrainingError: The loss is not finite from the beginning, or the memory is used up.
        WriteError: The files cannot be written, or something else has their names.
    """
    _check_rates(start, end, steps)
    listener = on_event or ignore
    loaded = load_config(config, overrides=[overrides] if isinstance(overrides, str) else overrides)
    plan = _chosen(loaded.config, stage)
    plot = Path(output) if output is not None else _default_plot(loaded.name, stage)
    _check_writable(plot)
    prepare(device)
    from cnntrain.training.lr_find import run_range_test, suggest
    from cnntrain.training.preparing import prepare_fit

    prepared = prepare_fit(loaded, smoke=False, allow_leak=True, on_event=listener)
    listener(Message(_beginning(loaded.config, plan, start, end, steps)))
    measured = run_range_test(prepared, plan, start=start, end=end, steps=steps, on_event=listener)
    found = _named(loaded.config, plan, measured, suggest(measured.rates, measured.losses), steps, plot)
    _write(found, Path(loaded.name).stem)
    return found


def _check_rates(start: float, end: float, steps: int) -> None:
    if not 0.0 < start < end < math.inf:
        raise UsageError(f"the learning rates must grow from above zero; got: --start {start:g} and --end {end:g}")
    if steps < 10:
        raise UsageError(f"a range test needs 10 steps or more; got: --steps {steps}")


def _chosen(config: Config, name: str | None) -> StagePlan:
    """The stage of that name, else the first."""
    plans = plan_stages(config)
    if name is None:
        return plans[0]
    for plan in plans:
        if plan.name == name:
            return plan
    names = [plan.name for plan in plans]
    meant = nearest(name, names)
    hint = f"; did you mean {meant}?" if meant else ""
    raise UsageError(f"there is no stage {shown(name)}; the stages are: {', '.join(names)}{hint}")


def _default_plot(config_name: str, stage: str | None) -> Path:
    """A file beside `runs/` rather than in it, where whoever lists runs would take it for one."""
    name = Path(config_name).stem + (f"_{stage}" if stage is not None else "")
    return Path("lr_find") / (re.sub(r"[^\w.-]", "_", name) + ".png")


def _check_writable(plot: Path) -> None:
    """Finds before the test what would spoil its end."""
    if plot.suffix.lower() != ".png":
        raise UsageError(f"the plot is written as PNG; got: {plot}; give a name that ends in .png")
    table = plot.with_suffix(".csv")
    for path in (plot, table):
        if path.exists() and not _is_table(table):
            raise WriteError(f"{path} exists already and is not from lr-find; give another name with --output")
    place = next(folder for folder in plot.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise WriteError(f"cannot write {plot}: {place} is no folder that can be written to; choose another place")


def _is_table(path: Path) -> bool:
    """Whether a file is the table of an earlier test."""
    try:
        with path.open("rb") as stream:
            return stream.readline(len(_HEADER) + 2).decode("utf-8", "replace").rstrip() == _HEADER
    except OSError:
        return False


def _beginning(config: Config, plan: StagePlan, start: float, end: float, steps: int) -> str:
    """What is going to be done, and that an inner stage is tested without those before it."""
    text = (
        f"stage {plan.name}: learning rates from {start:g} to {end:g} in up to {steps} steps "
        f"of {config.data.batch_size} pictures"
    )
    is_first = plan == plan_stages(config)[0]
    return text if is_first else f"{text}, on the initial weights: the stages before it are not trained"


def _named(
    config: Config, plan: StagePlan, measured: "RangeTest", suggested: "Suggestion", steps: int, plot: Path
) -> LearningRates:
    return LearningRates(
        stage=plan.name,
        steps=steps,
        rates=measured.rates,
        losses=measured.losses,
        smoothed=measured.smoothed,
        suggestion=suggested.best,
        minimum=suggested.minimum,
        steepest=suggested.steepest,
        is_open=suggested.is_open,
        yaml="" if suggested.best is None else _yaml(config, plan, suggested.best),
        plot=plot,
        table=plot.with_suffix(".csv"),
    )


def _yaml(config: Config, plan: StagePlan, rate: float) -> str:
    """Where the rate goes: into `train`, or into the stage where stages have rates of their own."""
    if all(stage.learning_rate is None for stage in config.train.stages):
        return f"train: {{learning_rate: {rate:.1e}}}"
    name = json.dumps(plan.name, ensure_ascii=False) if shown(plan.name) != plan.name else plan.name
    return f"train: {{stages: [{{name: {name}, learning_rate: {rate:.1e}}}]}}"


def _write(found: LearningRates, name: str) -> None:
    """Writes the table and the plot, both or none."""
    from cnntrain.plots.lr_find import draw_range_test
    from cnntrain.plots.style import to_png

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_HEADER.split(","))
    rows.writerows(
        [step, *(f"{value:.7g}" for value in row)]
        for step, row in enumerate(zip(found.rates, found.losses, found.smoothed, strict=True), start=1)
    )
    figure = draw_range_test(
        f"{name}, stage {found.stage}",
        rates=found.rates,
        losses=found.losses,
        smoothed=found.smoothed,
        suggestion=found.suggestion,
    )
    write_together({found.table: text.getvalue().encode("utf-8"), found.plot: to_png(figure)})
