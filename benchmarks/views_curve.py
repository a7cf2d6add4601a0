"""Test accuracy of a head against the number of stored views of each training picture, over several seeds; a plot.

All runs share one bank, of which those with fewer views take the first; `seed` decides the head's initial weights, the
order of the pictures, dropout and which view an epoch takes, `train.features.seed` the views. What is found is kept in
the results file, and only what is missing there is run, so that it can be gathered over several sittings; with
`--folder` the bank lies there and stays. Two kinds of 95 % intervals are told: of the mean over the seeds (Student's
t), as other seeds would change it, and of the test set (Wilson, at the mean), as other test pictures would. With random
weights each seed has a base, and a bank, of its own. Half an hour for the bank and a minute a run on two cores.
"""

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import ROOT, Results, Round
from benchmarks.setting import (
    CONFIGS,
    options,
    photos,
    results_of,
    run_python,
    show,
    with_pictures,
    with_weights,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cnntrain import Run
    from cnntrain.data.examples import Example

_BESIDE = 1.06  # times the place of the mean are its runs
NONE = 0  # stands for training without augmentation
FIT = "import sys; from benchmarks.views_curve import fit_and_measure; fit_and_measure(*sys.argv[1:4], sys.argv[4:])"


@dataclass(frozen=True)
class Point:
    """Test accuracy with a number of views.

    Args:
        views: How many, or `NONE`.
        accuracies: Of the runs, one a seed.
        mean: Of them.
        over_seeds: 95 % interval of the mean over seeds; only the mean itself where there is one seed.
        of_test_set: 95 % interval of a share that is the mean, among as many test pictures.
    """

    views: int
    accuracies: tuple[float, ...]
    mean: float
    over_seeds: tuple[float, float]
    of_test_set: tuple[float, float]


def point(views: int, rounds: Sequence[Round]) -> Point:
    """Summarizes the runs with a number of views; there must be one."""
    from cnntrain.evaluation.metrics import wilson

    accuracies = tuple(float(found["accuracy"]) for found in rounds)
    mean, images = statistics.fmean(accuracies), int(rounds[0]["images"])
    share = wilson(round(mean * images), images)
    return Point(views, accuracies, mean, t_interval(accuracies), (share.low, share.high))


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of independent values: mean ± t · s / √k with k - 1 degrees of freedom."""
    from scipy.stats import t

    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return mean, mean
    reach = float(t.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)
    return mean - reach, mean + reach


def draw(points: Sequence[Point], title: str) -> "Figure":
    """Draws the curve, the runs as dots, and as a level what is reached without augmentation.

    Args:
        points: One or more with views, in ascending order, and perhaps one without augmentation.
        title: What was trained.
    """
    from matplotlib.figure import Figure

    from cnntrain.plots import style

    with style.look():
        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.subplots()
        curve = [one for one in points if one.views != NONE]
        _draw_curve(axes, curve)
        for level in (one for one in points if one.views == NONE):
            label = "without augmentation, likewise over seeds"
            axes.axhline(level.mean, color=style.VALIDATION, linewidth=1.5, linestyle="--", label=label)
            axes.axhspan(*level.over_seeds, color=style.VALIDATION, alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks([one.views for one in curve], [str(one.views) for one in curve])
        axes.minorticks_off()
        axes.set_xlabel("stored views of each training picture")
        axes.set_ylabel("test accuracy")
        figure.suptitle(title, color=style.INK)
        figure.legend(loc="outside lower center", ncols=2)
        style.settle_texts(figure)
    return figure


def _draw_curve(axes: "Axes", curve: Sequence[Point]) -> None:
    from cnntrain.plots import style

    views, means = [one.views for one in curve], [one.mean for one in curve]
    low, high = zip(*(one.of_test_set for one in curve), strict=True)
    axes.fill_between(
        views, low, high, color=style.MUTED, alpha=0.15, linewidth=0, label="95 % interval over test pictures"
    )
    runs = [(_BESIDE * one.views, accuracy) for one in curve for accuracy in one.accuracies]
    axes.plot(*zip(*runs, strict=True), "o", color=style.TRAINING, alpha=0.4, markersize=5, mew=0, label="a run")
    reach = [abs(end - one.mean) for one in curve for end in one.over_seeds]
    axes.errorbar(
        views,
        means,
        yerr=(reach[::2], reach[1::2]),
        color=style.TRAINING,
        marker="o",
        capsize=4,
        label="mean with 95 % interval over seeds",
    )


def _run(given: argparse.Namespace, data: Path, cache: Path, views: int, seed: int) -> Round:
    """Trains and measures one head."""
    chosen = [f"data.source={data}", f"data.image_size=[{given.size}, {given.size}]", f"model.weights={given.weights}"]
    chosen += [f"seed={seed}", *(["augment=null"] if views == NONE else _of_views(views))]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-c", FIT, str(given.config), f"{folder}/run", str(cache), *chosen, *given.set]
        run_python(arguments, cache)
    told = (cache / "stdout").read_text(encoding="utf-8").splitlines()[-1]
    return {"views": views, "seed": seed, **json.loads(told)}


def fit_and_measure(config: str, run_dir: str, cache: str, overrides: list[str]) -> None:
    """Trains a head and prints its accuracy on the test pictures, which go through a frozen base once for all runs."""
    import cnntrain
    from cnntrain.config.sections import Augment
    from cnntrain.data.decoder import preprocessing_of
    from cnntrain.data.pipeline import image_batches, open_pictures
    from cnntrain.runs.model_file import load_model
    from cnntrain.training.bank.keys import contents_of

    run = cnntrain.fit(config, run_dir=run_dir, overrides=overrides, device="cpu")
    import keras
    import numpy as np

    model = load_model(run.path / "model.keras")
    layers = [layer.name for layer in model.layers]
    cut = model.get_layer(layers[next(place for place, name in enumerate(layers) if name.startswith("head_")) - 1])
    pictures = open_pictures(_test(run), run.classes, preprocessing_of(run.config.data))
    base = keras.Model(model.input, cut.output)
    known = {"backbone": "", "cut": cut.name, "split": "test", "augment": Augment(), "seed": 0}
    stored = Path(cache) / f"test-{contents_of(base, pictures, **known).key}.npy"
    if not stored.exists():
        np.save(stored, base.predict(image_batches(pictures, 32), verbose=0))
    answers = keras.Model(cut.output, model.output).predict(np.load(stored), verbose=0)
    accuracy = float(((answers[:, 0] > 0.5) == pictures.labels).mean())
    best = run.history[run.record.best.epoch - 1]
    told = {"accuracy": accuracy, "images": len(pictures), "val_accuracy": best.val_accuracy, "epoch": best.epoch}
    print(json.dumps(told))


def _test(run: "Run") -> "list[Example]":
    from cnntrain.data.examples import in_split, read_examples

    return list(in_split(read_examples(run.path / "examples.csv"), "test"))


def _of_views(views: int) -> list[str]:
    return [f"train.features.views={views}", "train.features.seed=0"]


def missing_runs(rounds: Sequence[Round], *, views: Sequence[int], seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Views and seed of the runs that are still to be made; those with most views come first, as they fill the bank."""
    done = {(found["views"], found["seed"]) for found in rounds}
    wanted = [(count, seed) for seed in seeds for count in sorted({*views, NONE}, reverse=True)]
    return [pair for pair in wanted if pair not in done]


def _gather(given: argparse.Namespace, results: Results) -> None:
    missing = missing_runs(results.rounds(), views=given.views, seeds=given.seeds)
    if not missing:
        return
    with tempfile.TemporaryDirectory() as name, _kept(given.folder) as cache:
        data = given.data.resolve() if given.data else _photos(given, Path(name))
        for views, seed in missing:
            results.add(_run(given, data, cache, views, seed))


@contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    """The folder, made if missing, or a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()


def _photos(given: argparse.Namespace, folder: Path) -> Path:
    return photos(folder, train=given.images // 2, validation=given.images // 4, test=given.images // 4)


def _parse() -> argparse.Namespace:
    what = "training pictures, and half as many each for validation and test"
    parser = with_weights(with_pictures(options(__doc__, rounds=None), 2000, what))
    parser.add_argument("--config", type=Path, default=CONFIGS / "vgg16_features_augmented.yaml", help="of the head")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for its configuration")
    parser.add_argument("--size", type=int, default=150, help="height and width of the pictures; default 150")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 8], help="default 1 2 4 8")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4, 5], help="default 1 to 5; none: no runs")
    parser.add_argument("--folder", type=Path, help="where the bank is kept")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "views.png", help="of the plot")
    return parser.parse_args()


def _results(given: argparse.Namespace) -> Results:
    names = ("images", "data", "weights", "set", "size", "results", "any_source")
    asked = {name: getattr(given, name) for name in names} | {"config": given.config.name}
    return results_of("views_curve", argparse.Namespace(**asked), code=[ROOT / "cnntrain", given.config])


def main() -> None:
    given = _parse()
    results = _results(given)
    _gather(given, results)
    runs = results.rounds()
    counts = sorted({int(found["views"]) for found in runs})
    if not any(counts):
        raise SystemExit(f"{given.results} holds no runs of views_curve with these parameters; name --seeds")
    points = [point(views, [found for found in runs if found["views"] == views]) for views in counts]
    from cnntrain.files import write_bytes
    from cnntrain.plots.style import to_png

    pictures = given.data.name if given.data else f"{given.images:,} training pictures"
    title = f"head of {given.config.name}, {pictures}"
    write_bytes(given.output, to_png(draw(points, title)))
    show(f"{title}: test accuracy", [_row(one) for one in points], results=results)


def _row(one: Point) -> tuple[str, float, str]:
    name = "without augmentation" if one.views == NONE else f"views: {one.views}"
    seeds, test = ("{:.4f} to {:.4f}".format(*interval) for interval in (one.over_seeds, one.of_test_set))
    return name, one.mean, f"({seeds} over {len(one.accuracies)} seeds; {test} of the test set)"


if __name__ == "__main__":
    main()
