"""`fit` killed and stopped as real processes; the `kills` and `terminations` of `benchmarks/` do it for longer."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import WritePictures

from benchmarks.forking import difference, outcome

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

ROOT = Path(__file__).parent.parent
LIMIT = 300.0
CONFIG = """\
data: {source: SOURCE, image_size: [12, 12], batch_size: 4}
augment: {flip: horizontal, rotation: 10}
model:
  kind: convnet
  blocks: [{filters: 4, batch_norm: true}]
  head: {layers: [{dropout: 0.2}, {dense: 4}]}
train:
  optimizer: adam
  ema: 0.9
  early_stopping: {patience: 30}
  reduce_lr: {patience: 2}
  save_every: 2
  stages: [{name: one, epochs: 8}, {name: two, epochs: 12, learning_rate: 1e-4}]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_pictures: WritePictures) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    for split, count in {"train": 12, "validation": 6}.items():
        write_pictures(folder / "pets" / split, {"cat": count, "dog": count})
    path = folder / "c.yaml"
    path.write_text(CONFIG.replace("SOURCE", str(folder / "pets")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def expected(config: Path) -> dict[str, bytes]:
    """What a run gives that nobody disturbs."""
    run_dir = config.with_name("peace")
    code, said = ended(started(config, run_dir))
    assert code == 0, said
    return outcome(run_dir)


def started(config: Path, run_dir: Path, *, killed_before: int = 0) -> "subprocess.Popen[str]":
    """A process that trains or goes on."""
    program = ["benchmarks.writes", str(killed_before), str(run_dir)] if killed_before else ["cnntrain"]
    command = [sys.executable, "-m", *program, "fit", str(config), "--run-dir", str(run_dir), "--resume"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_sigint,
    )


def _hear_sigint() -> None:
    """What a shell runs behind it ignores SIGINT, and so would every child of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and stderr."""
    _, said = process.communicate(timeout=LIMIT)
    return process.returncode, said


def wait_for_steps(process: "subprocess.Popen[str]", run_dir: Path, states: int = 3) -> int:
    """Waits until so many states were written from now on; gives the number of the last."""
    first = last = newest(run_dir)
    end = time.monotonic() + LIMIT
    while last < first + states and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
        last = newest(run_dir)
    return last


def newest(run_dir: Path) -> int:
    """Number of the newest state."""
    return max((int(path.name.partition("-")[0]) for path in (run_dir / "state").glob("[0-9]*")), default=0)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_gives_the_same(
    config: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run_dir, draw, kills = tmp_path / "run", random.Random(1), 0
    for _ in range(5):
        process = started(config, run_dir)
        wait_for_steps(process, run_dir, draw.randrange(4))
        time.sleep(draw.uniform(0.0, 0.5))
        process.kill()
        code, said = ended(process)
        assert code in (0, -signal.SIGKILL), said
        kills += code != 0
    assert kills >= 3
    code, said = ended(started(config, run_dir))
    assert code == 0, said
    assert difference(outcome(run_dir), expected) == ""


@pytest.mark.slow
def test_kills_between_writes_lose_nothing(config: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    """A few boundaries, each in the process that goes on from the one before."""
    run_dir, draw = tmp_path / "run", random.Random(2)
    for number in (draw.randrange(1, 10), draw.randrange(40, 80), draw.randrange(80, 160)):
        code, said = ended(started(config, run_dir, killed_before=number))
        assert code == -signal.SIGKILL, (number, said)
    code, said = ended(started(config, run_dir))
    assert code == 0, said
    assert difference(outcome(run_dir), expected) == ""


@pytest.mark.slow
def test_signals_end_a_run_within_a_batch_and_lose_nothing(
    config: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = started(config, run_dir)
        wait_for_steps(process, run_dir)
        begin = time.monotonic()
        process.send_signal(number)
        found, said = ended(process)
        assert found == code, said
        assert time.monotonic() - begin < 30.0  # five seconds are promised, on a machine that does nothing else
        assert said.splitlines()[-1].endswith(f"go on with: cnntrain fit {config} --run-dir {run_dir} --resume")
        assert f"{number.name}: stops after this batch" in said
    code, said = ended(started(config, run_dir))
    assert code == 0, said
    assert difference(outcome(run_dir), expected) == ""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_sigusr1_saves_and_goes_on_and_a_second_sigterm_ends_at_once(
    config: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    text = config.read_text(encoding="utf-8").replace("save_every: 2", "save_every: 100000")
    config, run_dir = tmp_path / "c.yaml", tmp_path / "run"
    config.write_text(text, encoding="utf-8")
    process = started(config, run_dir)
    wait_for_steps(process, run_dir, 2)
    before = newest(run_dir)
    process.send_signal(signal.SIGUSR1)
    assert wait_for_steps(process, run_dir, 1) > before
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    code, said = ended(started(config, run_dir))
    assert code == 0, said
    assert difference(outcome(run_dir), expected) == ""


WRITER = """
import sys
from pathlib import Path
from benchmarks.writes import kill_before
from cnntrain.files import new_folder, write_text
folder = Path(sys.argv[2])
kill_before(int(sys.argv[1]), folder)
write_text(folder / "a.txt", "new" * 10_000)
with new_folder(folder / "b", overwrite=True) as made:
    write_text(made / "c.txt", "new" * 10_000)
"""


def test_a_kill_at_any_boundary_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    seen = set()
    for number in range(1, 100):
        folder = tmp_path / str(number)
        (folder / "b").mkdir(parents=True)
        (folder / "a.txt").write_text("old", encoding="utf-8")
        (folder / "b" / "c.txt").write_text("old", encoding="utf-8")
        command = [sys.executable, "-c", WRITER, str(number), str(folder)]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        both = [
            path.read_text(encoding="utf-8")[:3] if path.exists() else ""
            for path in (folder / "a.txt", folder / "b" / "c.txt")
        ]
        seen.add((code, *both))
        if code == 0:
            break
    assert seen >= {(-signal.SIGKILL, "old", "old"), (-signal.SIGKILL, "new", "old"), (0, "new", "new")}
    assert {first for _, first, _ in seen} == {"old", "new"}
