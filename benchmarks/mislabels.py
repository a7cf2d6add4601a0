"""Labels that were flipped among real training photos, and how many of them stand among the first that are named.

A head is trained on VGG16's features of photos of which some lie in the wrong folder; `likely_mislabelled` then names
suspects, of which those from the training part count. Needs the photos and weights that CNNTRAIN_TEST_DATA names.
"""

import argparse
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.setting import CONFIGS, photos, with_weights

OTHER = {"cat": "dog", "dog": "cat"}


def flip_labels(source: Path, count: int, *, seed: int) -> set[str]:
    """Moves training pictures of a split data set between the two class folders; gives their new paths."""
    (source / "manifest.csv").unlink(missing_ok=True)  # or it would be missed that they are gone from where they were
    files = sorted(path for label in OTHER for path in (source / "train" / label).iterdir())
    chosen = random.Random(seed).sample(files, count)
    return {str(file.rename(file.parents[1] / OTHER[file.parent.name] / file.name)) for file in chosen}


def found_among(suspects: Iterable[str], flipped: set[str], first: int) -> int:
    """How many of the first suspects were flipped."""
    return len(flipped.intersection(list(suspects)[:first]))


def main() -> None:
    parser = with_weights(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--images", type=int, default=500, help="training photos a class; default 500")
    parser.add_argument("--flipped", type=int, default=40, help="default 40")
    parser.add_argument("--first", type=int, default=60, help="suspects that are looked at; default 60")
    parser.add_argument("--seed", type=int, default=0, help="of what is flipped; default 0")
    given = parser.parse_args()
    import cnntrain
    from cnntrain.api.mislabels import likely_mislabelled

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = photos(place, train=given.images, validation=50, test=50)
        flipped = flip_labels(source, given.flipped, seed=given.seed)
        run = cnntrain.fit(
            CONFIGS / "vgg16_features.yaml",
            run_dir=place / "run",
            overrides=[f"data.source={source}", f"model.weights={given.weights}", "train.epochs=1"],
        )
        suspects = likely_mislabelled(run)
    trained = [suspect for suspect in suspects if suspect.split == "train"]
    count = found_among((suspect.path for suspect in trained), flipped, given.first)
    confident = sum(suspect.is_confident for suspect in trained)
    print("| training photos | flipped | of them among the first named | named in all | counted as errors |")
    print("|---|---|---|---|---|")
    row = (f"{2 * given.images:,}", given.flipped, f"{count} among {given.first}", len(trained), confident)
    print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
