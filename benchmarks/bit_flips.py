"""Single bits flipped in the files that a stopped run is gone on with from: each must be found.

The state before is read alone, as if the newest were not there.
"""

import argparse
import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from cnntrain.errors import RunError
from cnntrain.runs.state import States

EPOCHS = 4


def _stopped_run(folder: Path) -> tuple[States, dict[str, np.ndarray]]:
    """The states of a small fine-tuning in its last epoch, and its frozen weights."""
    import cnntrain
    from cnntrain.training.events import EpochDone, Event

    class StopError(Exception):
        pass

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row.epoch == EPOCHS:
            raise StopError

    raw = {
        "data": {"source": "generated", "classes": ["a", "b"], "image_size": [32, 32]},
        "model": {"kind": "pretrained", "backbone": "mobilenetv2", "weights": "none"},
        "train": {"stages": [{"name": f"stage_{number}"} for number in range(EPOCHS)]},
    }
    with suppress(StopError):
        cnntrain.fit(raw, run_dir=folder / "run", smoke=True, on_event=listen)
    states = States(folder / "run" / "state")
    (file,) = states.folder.glob("frozen-*")
    from safetensors.numpy import load

    return states, {name: array for name, array in load(file.read_bytes()).items() if name != "info"}


def _flip(path: Path, bit: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        (byte,) = stream.read(1)
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


def _verdict(states: States, frozen: dict[str, np.ndarray], struck: Path) -> str:
    """What reading the states says after a flip in one of the files that it reads."""
    whole = struck.read_bytes()
    try:
        found = states.read(lambda: frozen)
    except RunError as error:
        return "found, none is left" if struck.name in str(error) else "missed"
    if struck in found.damaged:
        return "found, the state before taken"
    return "found, made again" if struck.read_bytes() != whole else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="flips; default 1000")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    given = parser.parse_args()
    draw, counts = random.Random(given.seed), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as name:
        states, frozen = _stopped_run(Path(name))
        before, newest, weights = sorted(states.folder.iterdir())
        kinds = {"newest state": newest, "state before": before, "frozen weights": weights}
        for _ in range(given.count):
            kind = draw.choice(list(kinds))
            struck, whole = kinds[kind], kinds[kind].read_bytes()
            _flip(struck, draw.randrange(8 * len(whole)))
            aside = newest.rename(newest.with_suffix(".aside")) if kind == "state before" else None
            counts[kind, _verdict(states, frozen, struck)] += 1
            struck.write_bytes(whole)
            if aside is not None:
                aside.rename(newest)
    print(f"{given.count} flipped bits, seed {given.seed}\n\n| file | verdict | flips |\n|---|---|---|")
    for (kind, verdict), count in sorted(counts.items()):
        print(f"| {kind} | {verdict} | {count} |")
    if any(verdict == "missed" for _, verdict in counts):
        raise SystemExit("a flipped bit was missed")


if __name__ == "__main__":
    main()
