"""What saving states costs, as a part of the epochs of `vgg16_features.yaml` and `vgg16_fine_tune.yaml` on the bank.

A process of its own trains, in which all that saving does is timed: taking the variables, packing, hashing, writing,
flushing to the disk. Besides what a run spends, which saves as often as time allows, a state after every epoch is
measured.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.setting import CONFIGS, alternate, median, options, photos, results_of, run_python, show, with_weights

TRAIN = """
import json, sys
from collections import defaultdict
import cnntrain
from cnntrain.training import checkpoints
from cnntrain.training.events import EpochDone

config, run_dir, share = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
saving, epochs, counts, sizes = defaultdict(float), defaultdict(float), defaultdict(int), {}
stage = [""]
real, write = checkpoints.Checkpoints.save, checkpoints.States.write

def save(self, take, *, is_due=False, **options):
    seconds = real(self, take, is_due=is_due or share == "every", **options)
    saving[stage[0]] += seconds
    return seconds

def noted(self, state, **options):
    path = write(self, state, **options)
    counts[stage[0]] += 1
    sizes[stage[0]] = path.stat().st_size / 1e6
    return path

def listen(event):
    if isinstance(event, EpochDone):
        stage[0] = event.row.stage
        epochs[stage[0]] += event.row.seconds

checkpoints.Checkpoints.save, checkpoints.States.write = save, noted
cnntrain.fit(config, run_dir=run_dir, device="cpu", on_event=listen)
last = stage[0]
print(json.dumps({"part": saving[last] / epochs[last], "states": counts[last], "megabytes": sizes[last],
                  "seconds of an epoch": epochs[last] / max(config["train"]["epochs"], 1)}))
"""


def _config(name: str, source: Path, given: argparse.Namespace) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    raw["data"]["source"] = str(source)
    raw["model"]["weights"] = given.weights
    epochs = {"vgg16_features": given.head_epochs, "vgg16_fine_tune": given.tuned_epochs}[name]
    raw["train"] = {**raw["train"], "epochs": epochs}
    if stages := raw["train"].get("stages"):
        stages[0]["epochs"], stages[1]["epochs"] = 1, epochs
        raw["train"]["features"] = {"views": 1}  # which decides how long the bank takes, and nothing else here
    return raw


def _measure(given: argparse.Namespace) -> dict[str, float]:
    """What each configuration gives, with saving as it is and after every epoch."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "photos"
        if not source.exists():
            photos(folder, train=given.images // 2, validation=given.images // 4)
        for config in ("vgg16_features", "vgg16_fine_tune"):
            for share in ("usual", "every"):
                raw = json.dumps(_config(config, source, given))
                run_python(["-c", TRAIN, raw, str(Path(name) / f"{config}_{share}"), share], folder)
                told = json.loads((folder / "stdout").read_text(encoding="utf-8").splitlines()[-1])
                found |= {f"{config} {share} {key}": value for key, value in told.items()}
    return found


def main() -> None:
    parser = with_weights(options(__doc__, rounds=1))
    parser.add_argument("--images", type=int, default=2000, help="training pictures; default 2000")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keeps photos and bank there, for another round")
    parser.add_argument("--head-epochs", type=int, default=30, help="default 30")
    parser.add_argument("--tuned-epochs", type=int, default=4, help="default 4")
    given = parser.parse_args()
    results = results_of("saving", given, reads=[CONFIGS / "vgg16_features.yaml", CONFIGS / "vgg16_fine_tune.yaml"])
    rounds = alternate(results, {"saving": lambda: _measure(given)}, given.rounds)
    shown = []
    for config, goal in (("vgg16_features", 5), ("vgg16_fine_tune", 2)):
        for how in ("usual", "every"):
            name = f"saving {config} {how}"
            shown.append(
                (
                    f"{config}, {how}: part of the epochs (goal for usual: {goal} %)",
                    100 * median(rounds, f"{name} part"),
                    "%",
                )
            )
            shown.append((f"{config}, {how}: states", median(rounds, f"{name} states"), ""))
        shown.append((f"{config}: a state", median(rounds, f"{name} megabytes"), "MB"))
        shown.append((f"{config}: an epoch", median(rounds, f"{name} seconds of an epoch"), "s"))
    show("saving states: as a run does it (usual) and after every epoch (every)", shown, results=results)


if __name__ == "__main__":
    main()
