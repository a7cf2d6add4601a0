"""Mutated pictures in six formats: nothing crashes, and what a look passes can be decoded."""

import io

import numpy as np
import pytest
from mutations import MUTATIONS, PICTURES, judge, mutated
from PIL import Image

from cnntrain.data.scanning.look import look

MAX_PIXELS = 1_000_000
COUNT = 15 * len(PICTURES) * len(MUTATIONS)  # 630
FLAGGED = 0.95  # of what a strict JPEG decoder rejects


@pytest.mark.parametrize("kind", PICTURES)
def test_without_mutation_all_are_good(kind: str) -> None:
    for number in range(30):
        content = PICTURES[kind](np.random.default_rng([1, number]))
        found = look(content, max_pixels=MAX_PIXELS)
        with Image.open(io.BytesIO(content)) as picture:
            assert (found.width, found.height) == picture.size
        assert (found.fault, found.problem, found.kind) == ("", "", kind.split()[-1])


@pytest.mark.filterwarnings("ignore")  # Pillow's on what it reads
def test_no_mutation_fools_the_look() -> None:
    verdicts = [judge(mutated(1, number)[2], max_pixels=MAX_PIXELS) for number in range(COUNT)]
    missed = [number for number, verdict in enumerate(verdicts) if not verdict.fault and verdict.is_decoded is False]
    wronged = [number for number, v in enumerate(verdicts) if v.fault == "undecodable" and v.is_decoded]
    rejected = [verdict for verdict in verdicts if verdict.is_rejected]
    assert missed == []
    assert len(wronged) <= COUNT // 100
    assert len(rejected) > COUNT // 10
    assert sum(bool(verdict.fault) for verdict in rejected) >= FLAGGED * len(rejected)
    assert {verdict.fault for verdict in verdicts} >= {"", "undecodable", "damaged", "not_a_picture"}
