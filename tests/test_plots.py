"""Figures, looked at through their artists: lines, labels, texts, and the PNG files they become."""

import io
import math
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from cnntrain.plots import style
from cnntrain.plots.confusion import draw_confusion
from cnntrain.plots.curves import Curves, draw_curves, smooth


def curves(epochs: int = 4, **changes: object) -> Curves:
    """Made-up curves of a run."""
    columns: dict[str, object] = {
        "name": "runs/digits",
        "epochs": tuple(range(1, epochs + 1)),
        "loss": tuple(1 / epoch for epoch in range(1, epochs + 1)),
        "accuracy": tuple(1 - 0.5 / epoch for epoch in range(1, epochs + 1)),
        "val_loss": tuple(2 / epoch for epoch in range(1, epochs + 1)),
        "val_accuracy": tuple(1 - 0.6 / epoch for epoch in range(1, epochs + 1)),
    }
    return Curves(**{**columns, **changes})  # type: ignore[arg-type]


def line(axes: Axes, label: str) -> Line2D:
    """The one line with this label."""
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def ys(line: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(line.get_ydata())]


def lines(axes: Axes, label: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_label() == label]


def legend_texts(figure: Figure) -> list[list[str]]:
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


def boundaries(axes: Axes) -> dict[float, object]:
    """Where vertical lines stand, with their colours."""
    return {xs(line)[0]: line.get_color() for line in axes.lines if len(xs(line)) == 2 and len(set(xs(line))) == 1}


def stage_names(axes: Axes) -> dict[float, str]:
    return {text.get_position()[0]: text.get_text() for text in axes.texts}


def decoded(figure: Figure, dpi: int = 50) -> Image.Image:
    image = Image.open(io.BytesIO(style.to_png(figure, dpi=dpi)))
    image.load()
    return image


def test_smoothing_by_hand() -> None:
    # 2; 0.8·2 + 0.2·5 = 2.6; 0.8·2.6 + 0.2·0 = 2.08, divided by 1 - 0.8, 1 - 0.8² and 1 - 0.8³
    assert smooth([10, 5, 0], 0.8) == pytest.approx((10, 2.6 / 0.36, 2.08 / 0.488))


def test_what_is_not_finite_passes_and_poisons_nothing() -> None:
    # The average waits while there is nothing to add: (0.25·8 + 0.5·4) / 0.75.
    found = smooth([math.nan, 8, math.nan, math.inf, 4], 0.5)
    assert found == pytest.approx((math.nan, 8, math.nan, math.inf, 16 / 3), nan_ok=True)


def test_smoothing_nothing() -> None:
    assert smooth([], 0.5) == ()


@pytest.mark.parametrize("weight", [-0.1, 1.0, 1.5, math.nan])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        smooth([1.0], weight)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 0.99))
def test_smoothing_stays_within_what_was_seen(values: list[float], weight: float) -> None:
    found = smooth(values, weight)
    assert smooth(values, 0) == tuple(values)
    for count, value in enumerate(found, start=1):
        assert min(values[:count]) - 1e-6 <= value <= max(values[:count]) + 1e-6


def test_curves_of_one_run_show_measured_and_smoothed_values() -> None:
    run = curves()
    figure = draw_curves([run], smoothing=0.5)
    accuracy, loss = figure.axes
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy", "loss")
    assert (accuracy.get_xlabel(), loss.get_xlabel()) == ("epoch", "epoch")
    # Loss 1, 1/2, 1/3, 1/4: sums 1/2, 1/2, 5/12, 1/3 over shares 1/2, 3/4, 7/8, 15/16.
    assert ys(line(loss, "training")) == pytest.approx([1, 2 / 3, 10 / 21, 16 / 45])
    assert ys(line(loss, "training, measured")) == pytest.approx(run.loss)
    assert ys(line(loss, "validation, measured")) == pytest.approx(run.val_loss)
    assert ys(line(accuracy, "training, measured")) == pytest.approx(run.accuracy)
    assert ys(line(accuracy, "validation")) == pytest.approx(smooth(run.val_accuracy or (), 0.5))
    assert xs(line(loss, "training")) == [1, 2, 3, 4]
    assert legend_texts(figure) == [["training", "validation", "as measured (strong lines: smoothed, 0.5)"]]
    assert figure.get_suptitle() == "runs/digits"


def test_measured_values_are_faint_and_behind() -> None:
    axes = draw_curves([curves()]).axes[1]
    strong, faint = line(axes, "training"), line(axes, "training, measured")
    assert strong.get_color() == faint.get_color() != line(axes, "validation").get_color()
    assert (strong.get_alpha() or 0) > (faint.get_alpha() or 0)
    assert strong.get_linewidth() > faint.get_linewidth()
    assert strong.get_zorder() > faint.get_zorder()


def test_without_smoothing_the_measured_values_are_the_strong_ones() -> None:
    run = curves()
    figure = draw_curves([run], smoothing=0)
    assert [line.get_label() for line in figure.axes[1].lines] == ["training", "validation"]
    assert ys(line(figure.axes[1], "training")) == pytest.approx(run.loss)
    assert legend_texts(figure) == [["training", "validation"]]


def test_without_validation_there_is_none() -> None:
    figure = draw_curves([curves(val_loss=None, val_accuracy=None)])
    assert all(not lines(axes, "validation") for axes in figure.axes)
    assert "validation" not in legend_texts(figure)[0]


def test_several_runs_have_a_colour_each_and_training_dashed() -> None:
    runs = [curves(name="one"), curves(6, name="_two"), curves(3, name="three", val_loss=None, val_accuracy=None)]
    figure = draw_curves(runs)
    loss = figure.axes[1]
    training, validation = lines(loss, "training"), lines(loss, "validation")
    assert [line.get_color() for line in training] == list(style.COLORS[:3])
    assert [line.get_color() for line in validation] == list(style.COLORS[:2])
    assert {line.get_linestyle() for line in training} == {"--"}
    assert {line.get_linestyle() for line in validation} == {"-"}
    assert [len(xs(line)) for line in training] == [4, 6, 3]
    assert legend_texts(figure)[0] == ["one", "_two", "three"]
    assert loss.get_xlim() == (0.5, 6.5)


def test_many_runs_still_differ_in_colour() -> None:
    figure = draw_curves([curves(name=str(number)) for number in range(12)])
    assert len({line.get_color() for line in lines(figure.axes[0], "training")}) == 12


def test_long_run_names_keep_both_ends() -> None:
    name = "runs/" + "x" * 100 + "_seed_7"
    short = legend_texts(draw_curves([curves(name=name), curves()]))[0][0]
    assert len(short) == 44
    assert short.startswith("runs/xx")
    assert short.endswith("_seed_7")


def test_a_stage_begins_half_an_epoch_before_its_first() -> None:
    figure = draw_curves([curves(10, stages=(("head", 1), ("fine_tune", 4), ("more", 8)))])
    for axes in figure.axes:
        assert list(boundaries(axes)) == [3.5, 7.5]
        assert stage_names(axes) == {0.5: "head", 3.5: "fine_tune", 7.5: "more"}


def test_a_single_stage_or_one_not_reached_is_not_marked() -> None:
    for stages in ((("train", 1),), (("head", 1), ("fine_tune", 5))):
        axes = draw_curves([curves(4, stages=stages)]).axes[0]
        assert boundaries(axes) == {}
        assert stage_names(axes) == {}


def test_stages_of_several_runs_are_joined_or_take_the_colour_of_their_run() -> None:
    shared = curves(10, stages=(("head", 1), ("fine_tune", 4)))
    own = curves(10, stages=(("warm", 1), ("fine_tune", 4), ("last", 9)))
    axes = draw_curves([shared, own]).axes[0]
    assert stage_names(axes) == {0.5: "head / warm", 3.5: "fine_tune", 8.5: "last"}
    assert boundaries(axes) == {3.5: style.MUTED, 8.5: style.COLORS[1]}


@pytest.mark.parametrize(("length", "rotation"), [(2, 35), (3, 35), (20, 0)])
def test_names_of_short_stages_are_tilted_so_that_none_overlaps(length: int, rotation: int) -> None:
    stages = tuple((f"block{number}_conv1", 1 + length * number) for number in range(4))
    figure = draw_curves([curves(length * 4 + 12, stages=stages)])
    decoded(figure, dpi=100)
    texts = figure.axes[0].texts
    assert {text.get_rotation() for text in texts} == {rotation}
    if not rotation:
        boxes = [text.get_window_extent() for text in texts]
        assert not any(first.overlaps(second) for first, second in pairwise(boxes))


def test_one_epoch_shows_markers() -> None:
    figure = draw_curves([curves(1)])
    for axes in figure.axes:
        assert [(line.get_label(), line.get_marker(), line.get_markevery()) for line in axes.lines] == [
            ("training", "o", [0]),
            ("validation", "o", [0]),
        ]
    blank = decoded(draw_curves([curves(1, val_loss=(math.nan,), val_accuracy=(math.nan,))]))
    assert blank.tobytes() != decoded(figure).tobytes()


def test_a_value_between_missing_ones_shows_a_marker() -> None:
    gaps = (1.0, math.nan, 0.5, math.inf)
    axes = draw_curves([curves(loss=gaps)]).axes[1]
    assert line(axes, "training").get_markevery() == [0, 2]
    assert ys(line(axes, "training, measured")) == pytest.approx([1, math.nan, 0.5, math.nan], nan_ok=True)


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30, 145])
def test_ticks_of_epochs_are_whole(epochs: int) -> None:
    figure = draw_curves([curves(epochs)])
    decoded(figure)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == int(tick) and 1 <= tick <= epochs for tick in ticks)


def test_legends_stand_outside_the_panels() -> None:
    figure = draw_curves([curves(name="one"), curves(name="two")])
    decoded(figure, dpi=100)
    for legend in figure.legends:
        assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_no_finite_value_at_all_is_drawn_as_nothing() -> None:
    nothing = (math.nan,) * 4
    figure = draw_curves([curves(loss=nothing, accuracy=nothing, val_loss=nothing, val_accuracy=nothing)])
    assert decoded(figure).size == (550, 240)


def test_curves_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        draw_curves([])
    with pytest.raises(ValueError, match="at least one epoch"):
        curves(0)
    with pytest.raises(ValueError, match="each of 4 epochs; has 2"):
        curves(val_loss=(0.1, 0.2))
    with pytest.raises(ValueError, match="below 1"):
        draw_curves([curves()], smoothing=1.0)


def cell_texts(figure: Figure) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in figure.axes[0].texts}


def tick_names(labels: list[Text]) -> list[str]:
    return [label.get_text() for label in labels]


def shares(figure: Figure) -> np.ma.MaskedArray:
    return np.ma.asarray(figure.axes[0].images[0].get_array())


def test_confusion_writes_counts_and_colours_shares() -> None:
    figure = draw_confusion(np.array([[3, 1], [0, 8]]), ["cat", "dog"])
    axes = figure.axes[0]
    # Positions are (column, row): one cat was taken for a dog.
    assert cell_texts(figure) == {(0, 0): "3", (1, 0): "1", (0, 1): "0", (1, 1): "8"}
    assert shares(figure).tolist() == [[0.75, 0.25], [0, 1]]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")
    assert tick_names(axes.get_yticklabels()) == tick_names(axes.get_xticklabels()) == ["cat", "dog"]
    assert axes.get_ylim() == (1.5, -0.5)
    assert figure.axes[1].get_ylabel() == "share of the true class"


def test_a_row_without_pictures_stays_blank() -> None:
    figure = draw_confusion(np.array([[3, 1, 0], [0, 0, 0], [1, 1, 2]]), ["a", "b", "c"])
    assert {row for _, row in cell_texts(figure)} == {0, 2}
    assert np.ma.getmaskarray(shares(figure)).tolist() == [[False] * 3, [True] * 3, [False] * 3]
    nothing = draw_confusion(np.zeros((2, 2), np.int64), ["a", "b"])
    assert cell_texts(nothing) == {}
    assert decoded(nothing).format == "PNG"


def test_counts_stand_out_from_their_cells() -> None:
    figure = draw_confusion(np.array([[990, 10], [0, 7]]), ["a", "b"])
    colors = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colors["990"] == colors["7"] == "white"
    assert len({colors["990"], colors["10"], colors["0"]}) == 3


@pytest.mark.parametrize("count", [2, 10, 25])
def test_counts_fit_into_their_cells(count: int) -> None:
    matrix = np.full((count, count), 123456)
    figure = draw_confusion(matrix, [f"class {number}" for number in range(count)])
    decoded(figure, dpi=100)
    axes = figure.axes[0]
    cell = axes.get_window_extent().width / count
    assert len(axes.texts) == count * count
    assert max(text.get_window_extent().width for text in axes.texts) < cell


def test_many_classes_have_no_counts_and_a_larger_figure() -> None:
    small, large = (draw_confusion(np.eye(count, dtype=np.int64), ["name"] * count) for count in (30, 100))
    assert cell_texts(small) == cell_texts(large) == {}
    assert all(large.get_size_inches() > small.get_size_inches())
    assert len(large.axes[0].get_yticks()) == 100


def test_names_of_many_classes_do_not_overlap() -> None:
    names = [f"a rather long name of the class number {number}" for number in range(100)]
    figure = draw_confusion(np.eye(100, dtype=np.int64), names)
    decoded(figure, dpi=100)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(not first.overlaps(second) for first, second in pairwise(boxes))
    shown = tick_names(figure.axes[0].get_yticklabels())
    assert len(set(shown)) == 100
    assert max(map(len, shown)) == 28


def test_hundreds_of_classes_do_not_grow_the_figure_for_ever() -> None:
    figure = draw_confusion(np.eye(400, dtype=np.int64), [str(number) for number in range(400)])
    assert max(figure.get_size_inches()) < 17
    assert tick_names(figure.axes[0].get_yticklabels())[:3] == ["0", "4", "8"]


def test_a_matrix_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        draw_confusion(np.eye(2, dtype=np.int64), ["a", "b", "c"])
    with pytest.raises(ValueError, match="shape"):
        draw_confusion(np.zeros((0, 0), np.int64), [])


@pytest.mark.parametrize(
    "name", ["고양이", "قطة", "猫", "कुत्ता", "$\\frac{x}$", "50% $", "_hidden", "two\nlines\x07", "\udcff"]
)
def test_any_name_can_be_drawn(name: str) -> None:
    """Warnings are errors here: neither a missing glyph nor a stray dollar sign may raise one."""
    stages = ((name, 1), (f"{name} 2", 3))
    for figure in (
        draw_curves([curves(name=name, stages=stages)]),
        draw_curves([curves(name=name, stages=stages), curves(name=f"{name} 2")]),
        draw_confusion(np.eye(2, dtype=np.int64), [name, "other"]),
    ):
        assert decoded(figure).format == "PNG"


def test_shortening_keeps_short_names_and_both_ends_of_long_ones() -> None:
    assert style.shorten("abcdef", 6) == "abcdef"
    assert style.shorten("abcdefg", 6) == "abc…fg"
    assert style.shorten("abcdefg", 2) == "a…"
    assert style.shorten("a\n\tb\x00c", 10) == "a b c"
    assert style.shorten("a\udcff", 10) == "a\\udcff"


@settings(deadline=None)
@given(st.text(), st.integers(2, 40))
def test_a_shortened_name_is_one_line_of_the_length_asked(name: str, longest: int) -> None:
    short = style.shorten(name, longest)
    assert len(short) <= longest
    assert all(letter.isprintable() for letter in short)


def test_a_png_has_the_size_of_the_figure_in_inches() -> None:
    figure = draw_curves([curves()])
    assert decoded(figure, dpi=100).size == (1100, 480)
    assert Image.open(io.BytesIO(style.to_png(figure))).size == (1650, 720)


def test_the_readers_own_settings_neither_matter_nor_change() -> None:
    plain = style.to_png(draw_curves([curves()]))
    with matplotlib.rc_context({"axes.facecolor": "black", "savefig.facecolor": "black", "font.size": 30.0}):
        styled = style.to_png(draw_curves([curves()]))
        assert matplotlib.rcParams["axes.facecolor"] == "black"
    assert styled == plain


def test_drawing_loads_neither_tensorflow_nor_pyplot() -> None:
    code = (
        "import sys, numpy\n"
        "from cnntrain.plots.curves import Curves, draw_curves\n"
        "from cnntrain.plots.confusion import draw_confusion\n"
        "from cnntrain.plots.style import to_png\n"
        "to_png(draw_curves([Curves(name='a', epochs=(1,), loss=(1.0,), accuracy=(0.5,))]), dpi=30)\n"
        "to_png(draw_confusion(numpy.eye(2, dtype=int), ['a', 'b']), dpi=30)\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib.pyplot') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
