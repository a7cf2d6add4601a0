"""The command line: what is printed where, and the exit codes; the main path as real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cnntrain.cli import COMMANDS, group, main

CONFIG = """
data: {source: SOURCE, image_size: [12, 12], batch_size: 8}
model: {kind: convnet, blocks: [{filters: 4}]}
train: {epochs: 2}
"""


@pytest.fixture
def config(split_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG.replace("SOURCE", str(split_folder)), encoding="utf-8")
    return path


def _call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, its streams in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "cnntrain", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def _fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Runs the command line in this process; gives its exit code and its stderr."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return int(left.value.code or 0), printed.err


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, flag: str) -> None:
    result = _invoke(*([command] if command else []), flag)
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: group {command}".rstrip())


def test_every_command_is_in_the_readme() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"cnntrain {name} " not in text] == []


def test_help_loads_neither_tensorflow_nor_pydantic() -> None:
    code = (
        "import sys; sys.argv = ['cnntrain', '--help']; import atexit\n"
        "heavy = {'tensorflow', 'keras', 'pydantic', 'numpy', 'matplotlib', 'sklearn', 'yaml'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules))))\n"
        "from cnntrain.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert all(command in done.stdout for command in COMMANDS)


def test_the_main_path_as_processes(tmp_path: Path) -> None:
    assert _call("data", "digits", "raw", cwd=tmp_path).returncode == 0
    done = _call("split", "raw", "digits", "--train", "20", "--validation", "8", "--test", "8", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["counts"]["train"]["3"] == 20
    (tmp_path / "digits.yaml").write_text(
        "data: {source: digits, image_size: [8, 8], color: grayscale}\n"
        "model: {kind: convnet, blocks: [{filters: 16, padding: same}], head: {layers: [{dense: 32}]}}\n"
        "train: {epochs: 6, optimizer: adam, learning_rate: 5e-3}\n",
        encoding="utf-8",
    )
    done = _call("fit", "digits.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "runs/digits\n"
    lines = done.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [f"epoch {epoch}/6" for epoch in range(1, 7)]
    done = _call("evaluate", "runs/digits", "--json", cwd=tmp_path)
    assert done.returncode == 0
    metrics = json.loads(done.stdout)
    assert metrics["images"] == 80
    assert metrics["accuracy"]["value"] > 0.6  # it has learnt something: chance is 0.1
    done = _call("plot", "runs/digits", "--output", "curves.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "curves.png\n")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"


def test_fit_prints_one_json_document(config: Path, tmp_path: Path) -> None:
    result = _invoke("fit", str(config), "--run-dir", str(tmp_path / "run"), "--set", "train.epochs=1", "--json")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["status"] == "finished"
    assert printed["epochs"] == 1
    assert result.stderr.count("\n") == 2  # the stage and its epoch


def test_evaluate_prints_a_table(config: Path, tmp_path: Path) -> None:
    _invoke("fit", str(config), "--run-dir", str(tmp_path / "run"))
    result = _invoke("evaluate", str(tmp_path / "run"))
    lines = result.stdout.splitlines()
    assert lines[0] == "12 test pictures"
    assert lines[2].split() == ["95", "%", "interval"]
    assert lines[3].startswith("accuracy ")
    assert [line.split()[0] for line in lines[-5:-2]] == ["class", "cat", "dog"]
    assert [line.split()[-1] for line in lines[-5:-2]] == ["pictures", "6", "6"]
    assert max(map(len, lines[:-1])) <= 100


def test_summary_prints_layers_and_totals(config: Path) -> None:
    result = _invoke("summary", str(config))
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["block1_conv", "Conv2D", "10", "×", "10", "×", "4", "400", "112", "train"] in rows
    assert ["parameters", "213"] in rows  # 3*3*3*4 + 4, and 100 + 1 for the output
    printed = json.loads(_invoke("summary", str(config), "--json").stdout)
    assert printed["parameters"] == 213
    assert printed["parameters_without_head"] == 112


def test_each_kind_of_error_has_its_exit_code_and_one_line(
    config: Path, split_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("no picture", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    cases = [
        (["fit", str(tmp_path)], 2),
        (["fit", str(tmp_path / "missing.yaml")], 2),
        (["fit", str(config), "--set", "train.epochz=2"], 2),
        (["fit", str(config), "--set", f"data.source={tmp_path / 'empty'}"], 3),
        (["split", str(tmp_path / "empty"), str(tmp_path / "out")], 3),
        (["split", str(split_folder / "train"), str(tmp_path / "out"), "--train", "99"], 3),
        (["evaluate", str(tmp_path)], 4),
        (["plot", str(text)], 4),
        (["fit", str(config), "--run-dir", str(text)], 6),
        (["fit", str(config), "--run-dir", str(text / "run")], 6),
        (["split", str(split_folder / "train"), str(text / "out"), "--ratios", "0.5,0.5,0"], 6),
    ]
    for arguments, expected in cases:
        code, printed = _fails(arguments, capsys)
        assert (arguments, code) == (arguments, expected)
        assert printed.count("\n") == 1
        assert printed.startswith(("error: ", f"{arguments[1]}:", "--set train.epochz=2: ", "--set data.source="))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_cannot_be_written_is_told(config: Path) -> None:
    command = [sys.executable, "-m", "cnntrain", "summary", str(config), "--set", "data.classes=2"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (6, "error: cannot write the output: No space left on device\n")


def test_a_reader_that_goes_away_is_no_error_of_ours(config: Path) -> None:
    command = [sys.executable, "-m", "cnntrain", "summary", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_mistyped_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = _fails(["fit", "x.yaml", "--smok"], capsys)
    assert code == 2
    assert "--smoke" in printed


def test_a_bug_is_one_line_unless_debugged(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cnntrain import api

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(api, "fit", broken)
    code, printed = _fails(["fit", str(config)], capsys)
    assert code == 1
    assert printed == (
        "error: a bug in cnntrain: ZeroDivisionError: by zero; "
        "run it with `cnntrain --debug` and report what it shows\n"
    )
    with pytest.raises(SystemExit):
        main(["--debug", "fit", str(config)])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_order(config: Path, tmp_path: Path, number: int, code: int) -> None:
    run = tmp_path / "run"
    # A test that runs in the background inherits an ignored SIGINT, as every child of it would.
    code_of_child = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from cnntrain.cli import main; main(sys.argv[1:])"
    )
    arguments = ["fit", str(config), "--run-dir", str(run), "--set", "train.epochs=100000"]
    with subprocess.Popen(
        [sys.executable, "-c", code_of_child, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_for(run / "history.csv")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert out == ""
    last = err.splitlines()[-1]
    assert re.match(
        r"error: interrupted at (the beginning of )?epoch \d+(, step \d+)?; the best model so far is in ", last
    )
    assert last.endswith(
        f"{run / 'model.keras'}; go on with: cnntrain fit {config} --run-dir {run} --set train.epochs=100000 --resume"
    )
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    assert (run / "model.keras").exists()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.1)


def test_progress_bars_on_a_terminal_only(config: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="terminals of this kind exist on POSIX only")
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cnntrain", "fit", str(config), "--run-dir", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "120"},
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:
            pass  # Linux reports the end of a terminal like this
        assert process.stdout is not None
        assert process.stdout.read() == f"{tmp_path / 'run'}\n"
    os.close(master)
    text = shown.decode()
    assert "epoch 2/2" in text
    assert "\x1b[?25l" in text  # the bar hides the cursor
    assert "\x1b[31m" not in text
