"""The results of the benchmarks: rounds are gathered, whatever else stands in the file."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fine_tuning
from benchmarks.results import Results, source_digest
from benchmarks.setting import alternate, median, ratio
from benchmarks.time_to_accuracy import first_at, level_of, rows
from benchmarks.views_curve import NONE, Point, draw, missing_runs, point, t_interval

SETTING = {"machine": "a machine", "versions": {"cnntrain": "1"}, "source": "aa"}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results.jsonl", "epoch", SETTING, {"images": 320})


def test_rounds_of_several_sittings_are_gathered(results: Results) -> None:
    results.add({"fit": 1.0})
    Results(results.path, "epoch", dict(SETTING), {"images": 320}).add({"fit": 2.5})
    assert results.rounds() == [{"fit": 1.0}, {"fit": 2.5}]


@pytest.mark.parametrize(
    "changed",
    [
        {"benchmark": "memory"},
        {"parameters": {"images": 640}},
        {"setting": {**SETTING, "machine": "another"}},
        {"setting": {**SETTING, "versions": {"cnntrain": "2"}}},
        {"setting": {**SETTING, "source": "bb"}},
    ],
    ids=["benchmark", "parameters", "machine", "versions", "source"],
)
def test_rounds_measured_otherwise_do_not_count(results: Results, changed: dict[str, object]) -> None:
    replace(results, **changed).add({"fit": 9.0})
    results.add({"fit": 1.0})
    assert results.rounds() == [{"fit": 1.0}]


def test_any_source_counts_other_states_of_the_code_and_nothing_else(results: Results) -> None:
    replace(results, setting={**SETTING, "source": "bb"}).add({"fit": 9.0})
    replace(results, setting={**SETTING, "machine": "another", "source": "bb"}).add({"fit": 7.0})
    assert replace(results, any_source=True).rounds() == [{"fit": 9.0}]


def test_damaged_lines_are_left_out_and_kept(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    results.add({"fit": 1.0})
    damage = b'{"format": 2}\n[1]\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"format": 1, "benchm'  # the last is cut off
    results.path.write_bytes(results.path.read_bytes() + damage)
    results.add({"fit": 3.0})
    assert results.rounds() == [{"fit": 1.0}, {"fit": 3.0}]
    assert "5 lines are damaged" in capsys.readouterr().err
    assert damage in results.path.read_bytes()


def test_a_file_of_something_else_is_refused_untouched(results: Results) -> None:
    results.path.write_text("a: recipe\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="holds no results"):
        alternate(results, {"fit": lambda: 1.0}, 1)
    assert results.path.read_text(encoding="utf-8") == "a: recipe\n"


def test_a_folder_is_refused(results: Results) -> None:
    with pytest.raises(SystemExit, match="cannot read"):
        replace(results, path=results.path.parent).rounds()


def test_sides_take_turns_and_the_order_changes_through_all_sittings(results: Results) -> None:
    calls: list[str] = []
    sides = {name: lambda name=name: calls.append(name) or {"steps": len(calls)} for name in ("a", "b")}
    alternate(results, sides, 1)
    rounds = alternate(results, sides, 2)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert rounds[1] == {"b steps": 3, "a steps": 4}


def test_no_round_at_all_is_told(results: Results) -> None:
    with pytest.raises(SystemExit, match="no round of epoch"):
        alternate(results, {"fit": lambda: 1.0}, 0)


def test_the_ratio_is_the_median_of_the_ratios_of_rounds_that_have_both() -> None:
    rounds = [{"a": 1.0, "b": 2.0}, {"a": 30.0, "b": 10.0}, {"a": 4.0, "b": 4.0}, {"a": 100.0}]
    assert ratio(rounds, "a", "b") == 1.0  # of 0.5, 3 and 1
    assert median(rounds, "a") == 17.0
    assert math.isnan(median(rounds, "c"))
    assert math.isnan(ratio(rounds, "a", "c"))


def test_the_digest_follows_what_the_code_does(tmp_path: Path) -> None:
    code, config = tmp_path / "code.py", tmp_path / "config.yaml"

    def digest(python: str, yaml: str) -> str:
        code.write_text(python, encoding="utf-8")
        config.write_text(yaml, encoding="utf-8")
        return source_digest([tmp_path, config])

    first = digest('"""Doc."""\nX = 1\n', "a: 1\n")
    assert digest('"""Other."""\nX = (\n    1  # why\n)\n', "# header\na:   1\n") == first
    assert digest('"""Doc."""\nX = 2\n', "a: 1\n") != first
    assert digest('"""Doc."""\nX = 1\n', "a: 2\n") != first


def _run(seed: int, *accuracies: float) -> dict[str, object]:
    """A run with 10 seconds an epoch."""
    curve = [{"epoch": n, "wall": 10.0 * n, "cpu": 15.0 * n, "val_accuracy": a} for n, a in enumerate(accuracies, 1)]
    return {"seed": seed, "curve": curve}


def test_time_to_accuracy_counts_to_the_first_epoch_that_is_good_enough() -> None:
    assert first_at(_run(1, 0.5, 0.8, 0.7, 0.9), 0.8)["wall"] == 20.0
    assert first_at(_run(1, 0.5), 0.8)["wall"] == math.inf
    plain, ours = [_run(1, 0.6, 0.7, 0.8, 0.81)], [_run(1, 0.8), _run(2, 0.7, 0.8), _run(3, 0.7)]
    table = {name: value for name, value, _ in rows({"plain": plain, "cnntrain": ours}, 0.8)}
    assert table["validation accuracy compared at"] == 0.8
    assert table["cnntrain, median of 3, wall time"] == 20.0
    assert table["ratio, wall time"] == pytest.approx(20 / 30)


def test_time_to_accuracy_compares_at_what_the_plain_script_reached() -> None:
    assert level_of([_run(1, 0.6, 0.75, 0.7)], 0.8) == 0.75
    assert level_of([_run(1, 0.9)], 0.8) == 0.8
    assert level_of([], 0.8) == 0.8
    table = {name: value for name, value, _ in rows({"plain": [_run(1, 0.6, 0.75)], "cnntrain": [_run(1, 0.76)]}, 0.8)}
    assert table["ratio, wall time"] == 0.5


PLAIN = {"features": 0.0, "first": 50.0, "epoch": 40.0, "rest": 9.0}
OURS = {"features": 100.0, "first": 20.0, "epoch": 10.0, "rest": 9.0}


def test_an_extended_run_counts_its_bank_its_first_epoch_and_the_others() -> None:
    assert fine_tuning.seconds_of(OURS, 30) == 100 + 20 + 29 * 10
    assert fine_tuning.seconds_of(OURS, 1) == 120
    assert fine_tuning.seconds_of(PLAIN, 100) == 50 + 99 * 40


def test_fine_tuning_compares_pairs_of_runs() -> None:
    slow = {name: 2 * seconds for name, seconds in PLAIN.items()}
    runs = {"plain": [PLAIN, slow, PLAIN], "cnntrain": [OURS, OURS]}  # the third has no partner yet
    table = {name: value for name, value, _ in fine_tuning.rows("fine_tune", runs)}
    assert table["ratio, a further epoch"] == pytest.approx((1 / 4 + 1 / 8) / 2)
    assert table["ratio, 30 epochs with the bank's making"] == pytest.approx((410 / 1210 + 410 / 2420) / 2)
    assert table["ratio, 100 epochs with the bank's making"] == pytest.approx((1110 / 4010 + 1110 / 8020) / 2)
    assert table["plain, a further epoch"] == 40


def test_one_side_of_fine_tuning_has_times_and_no_ratios() -> None:
    names = [name for name, _, _ in fine_tuning.rows("head", {"plain": [], "cnntrain": [OURS]})]
    assert names == [
        f"cnntrain, {what}" for what in ("the bank's making", "first epoch", "a further epoch", "all else")
    ]


def test_the_interval_over_seeds_is_students() -> None:
    # mean 0.92, deviation 0.02, t of 2 degrees of freedom 4.30265: 0.92 -+ 4.30265 * 0.02 / sqrt(3)
    assert t_interval([0.90, 0.92, 0.94]) == pytest.approx((0.870317, 0.969683), abs=1e-6)
    assert t_interval([0.9]) == (0.9, 0.9)


def test_the_interval_of_the_test_set_is_wilsons_at_the_mean() -> None:
    found = point(4, [{"accuracy": accuracy, "images": 1000} for accuracy in (0.48, 0.52)])
    assert (found.views, found.mean) == (4, pytest.approx(0.5))
    assert found.of_test_set == pytest.approx((0.46907, 0.53093), abs=1e-5)


def test_only_missing_runs_are_made_and_those_that_fill_the_bank_first() -> None:
    rounds = [{"views": 8, "seed": 1}, {"views": NONE, "seed": 2}]
    assert missing_runs(rounds, views=[1, 8], seeds=[1, 2]) == [(1, 1), (NONE, 1), (8, 2), (1, 2)]
    assert missing_runs(rounds, views=[1, 8], seeds=[]) == []


def test_the_curve_shows_means_intervals_and_what_is_reached_without_augmentation() -> None:
    points = [Point(views, (0.5 + views / 20,), 0.5 + views / 20, (0.4, 0.98), (0.3, 0.99)) for views in (NONE, 1, 8)]
    (axes,) = draw(points, "a head").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("stored views of each training picture", "test accuracy")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8"]
    (bars,) = axes.containers
    assert bars.lines[0].get_xydata().ravel() == pytest.approx([1, 0.55, 8, 0.9])
    assert bars.lines[2][0].get_segments()[1][:, 1] == pytest.approx([0.4, 0.98])
    (level,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert level.get_ydata() == [0.5, 0.5]


def test_the_plain_script_thaws_the_last_block_of_its_base() -> None:
    from benchmarks.plain.vgg16_augmented import network, thaw

    model, base = network(48, None)
    assert base.trainable_weights == []
    thaw(base)
    assert [layer.name for layer in base.layers if layer.trainable and layer.weights] == [
        "block5_conv1",
        "block5_conv2",
        "block5_conv3",
    ]
    assert len(model.trainable_weights) == 2 * 3 + 2 * 2  # kernels and biases, with those of the two dense layers
