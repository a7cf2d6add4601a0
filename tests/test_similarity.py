"""Near-duplicates: what is found, what is not, and the sets that pairs make."""

import io
from collections.abc import Callable, Iterator
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cnntrain.data.scanning import similarity
from cnntrain.data.scanning.similarity import near_pairs, sets_of, signature

Picture = Image.Image
LENGTH = 196


def _field(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """A random field whose amplitudes fall with the frequency, as those of photos do."""
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1]))
    radius[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(random.normal(size=size)) / radius).real
    return np.asarray(field / field.std())


def _picture(seed: int, size: tuple[int, int] = (150, 200)) -> Picture:
    """A texture with an ellipse and a rectangle on it."""
    random = np.random.default_rng(seed)
    gray = np.clip(128 + 45 * _field(random, size), 0, 255).astype(np.uint8)
    picture = Image.fromarray(gray).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for shape in (draw.ellipse, draw.rectangle):
        left, top = random.integers(0, 100, 2).tolist()
        width, height = random.integers(30, 80, 2).tolist()
        shape((left, top, left + width, top + height), fill=tuple(random.integers(0, 256, 3).tolist()))
    return picture


def _gray(picture: Picture) -> NDArray[np.uint8]:
    """In gray and reduced, as a look at a file gives it."""
    reduced = picture.convert("L").reduce(max(1, min(picture.size) // 48))
    return np.asarray(reduced)


def _signature(picture: Picture) -> bytes:
    return signature(_gray(picture))


def _saved(picture: Picture, kind: str, quality: int) -> Picture:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality)
    return Image.open(stream)


def _cut(picture: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    width, height = picture.size
    return picture.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


LEAKS: dict[str, Callable[[Picture], Picture]] = {
    "jpeg_95": lambda picture: _saved(picture, "JPEG", 95),
    "jpeg_30": lambda picture: _saved(picture, "JPEG", 30),
    "webp_30": lambda picture: _saved(picture, "WEBP", 30),
    "half": lambda picture: picture.resize((100, 75)),
    "double": lambda picture: picture.resize((400, 300)),
    "other_aspect": lambda picture: picture.resize((150, 150)),
    "darker": lambda picture: picture.point([round(0.7 * level) for level in range(256)] * 3),
    "cut_one_side": lambda picture: _cut(picture, 0.03, 0, 0, 0),
    "cut_corner": lambda picture: _cut(picture, 0, 0.03, 0.03, 0),
    "cut_all_sides": lambda picture: _cut(picture, 0.03, 0.03, 0.03, 0.03),
    "all_of_it": lambda picture: _saved(_cut(picture, 0.02, 0.01, 0.0, 0.03).resize((131, 97)), "JPEG", 50),
}
PHOTOS = [_picture(seed) for seed in range(20)]
SIGNATURES = [_signature(picture) for picture in PHOTOS]


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_changed_copies_are_found_and_nothing_else(leak: Callable[[Picture], Picture]) -> None:
    copies = [_signature(leak(picture)) for picture in PHOTOS]
    found = set(near_pairs([*SIGNATURES, *copies]))
    wanted = {(index, index + len(PHOTOS)) for index in range(len(PHOTOS))}
    assert found <= wanted
    assert len(found) >= 0.9 * len(wanted)


OTHERS: dict[str, Callable[[Picture], Picture]] = {
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "negative": lambda picture: picture.point([255 - level for level in range(256)] * 3),
    "a_quarter_cut_off": lambda picture: _cut(picture, 0.25, 0, 0, 0),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_pictures_that_differ_more_are_not_near_duplicates(change: Callable[[Picture], Picture]) -> None:
    assert near_pairs([*SIGNATURES, *(_signature(change(picture)) for picture in PHOTOS)]) == []


def test_a_burst_with_something_else_in_the_middle_is_not_a_duplicate() -> None:
    """The same scene, a third as wide as high an object in one of them and another in the other."""
    scene = _picture(100)
    shots = [scene.copy(), scene.copy(), scene.copy()]
    ImageDraw.Draw(shots[1]).ellipse((60, 40, 130, 110), fill=(240, 240, 240))
    ImageDraw.Draw(shots[2]).ellipse((60, 40, 130, 110), fill=(10, 10, 10))
    assert near_pairs([_signature(shot) for shot in shots]) == []


def test_a_signature_does_not_depend_on_the_size_in_pixels_or_on_brightness() -> None:
    picture = PHOTOS[0].convert("L")
    sizes = [(400, 300), (200, 150), (64, 48)]
    vectors = [np.frombuffer(signature(np.asarray(picture.resize(size))), np.int8).astype(float) for size in sizes]
    for one, other in combinations(vectors, 2):
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.99
    gray = np.asarray(picture)
    assert signature(gray // 4 * 2) == signature(gray // 4 * 2 + 100)


def test_a_signature_by_hand() -> None:
    """Four waves, down the picture and across it, each with the weight r · exp(-(r / 9)²).

    The coefficients stand in the order (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3),
    (3, 0), (1, 3), (3, 1), (2, 3), (3, 2), (0, 4), (4, 0), …: waves down the picture first.
    """
    place = (np.arange(64) + 0.5) * np.pi / 64
    down = 24 * np.cos(4 * place) + 28 * np.cos(3 * place)
    across = 40 * np.cos(2 * place) - 20 * np.cos(7 * place)
    found = np.frombuffer(signature(np.rint(128 + down[:, None] + across).astype(np.uint8)), np.int8)
    strongest = 24 * 4 * np.exp(-16 / 81)  # 78.8; the others are 76.1, 75.2 and -76.5
    assert len(found) == LENGTH
    assert found[16] == 127
    assert found[4] == round(127 * 40 * 2 * np.exp(-4 / 81) / strongest)
    assert found[10] == round(127 * 28 * 3 * np.exp(-9 / 81) / strongest)
    assert found.min() == round(-127 * 20 * 7 * np.exp(-49 / 81) / strongest)
    assert np.count_nonzero(np.abs(found) > 1) == 4


def _plain() -> Iterator[NDArray[np.uint8]]:
    down, across = np.mgrid[:48, :64]
    yield np.full((48, 64), 200, np.uint8)
    yield np.rint(128 + 100 * np.cos(np.pi * across / 16)).astype(np.uint8)
    yield (3 * across + down).astype(np.uint8)
    yield np.random.default_rng(1).integers(126, 130, (48, 64), np.uint8)
    yield np.random.default_rng(2).integers(0, 256, (13, 200), np.uint8)


@pytest.mark.parametrize("gray", list(_plain()), ids=["uniform", "one_wave", "gradient", "faint_noise", "tiny"])
def test_featureless_pictures_have_no_signature(gray: NDArray[np.uint8]) -> None:
    assert signature(gray) == b""


def test_empty_signatures_match_nothing() -> None:
    assert near_pairs([]) == []
    assert near_pairs([b"", b""]) == []
    assert near_pairs([b"", SIGNATURES[0], b"", SIGNATURES[0], b""]) == [(1, 3)]


def test_a_set_has_as_many_pairs_as_connect_it() -> None:
    half, coarse = (_signature(LEAKS[kind](PHOTOS[1])) for kind in ("half", "jpeg_30"))
    signatures = [SIGNATURES[0], SIGNATURES[1], SIGNATURES[1], half, coarse, SIGNATURES[1], half]
    found = near_pairs(signatures)
    assert len(found) == 5
    assert sets_of(len(signatures), found) == [(1, 2, 3, 4, 5, 6)]


def test_handwritten_digits_are_not_all_alike() -> None:
    """Of 600 real digits a few are (much of what tells them apart is the same there), but no more than 2 %."""
    from sklearn.datasets import load_digits

    digits = [Image.fromarray((15.9 * digit).astype(np.uint8)).resize((64, 64)) for digit in load_digits().images[:600]]
    found = near_pairs([signature(np.asarray(digit)) for digit in digits])
    assert len({index for pair in found for index in pair}) <= 12


def test_pictures_with_one_black_border_and_one_shape_are_told_apart() -> None:
    """As X-rays: what all have in common is most of the contrast."""
    down, across = np.mgrid[-1:1:64j, -1:1:64j]
    body = np.where(down**2 + across**2 < 0.8, 140 * np.exp(-(across**2)), 0)
    fields = [_field(np.random.default_rng(seed), (64, 64)) for seed in range(60)]
    grays = [np.clip(body + (body > 0) * 20 * field, 0, 255).astype(np.uint8) for field in fields]
    assert near_pairs([signature(gray) for gray in grays]) == []


@st.composite
def _mixtures(draw: st.DrawFn) -> list[bytes]:
    """Signatures of pictures and their copies, some of them several times, in any order."""
    copies = [_signature(LEAKS["cut_one_side"](picture)) for picture in PHOTOS[:6]]
    return draw(st.lists(st.sampled_from([*SIGNATURES[:8], *copies, b""]), max_size=12))


@settings(deadline=None, max_examples=40)
@given(_mixtures(), st.randoms(use_true_random=False))
def test_the_order_has_no_influence_on_the_sets(signatures: list[bytes], random: Random) -> None:
    order = list(range(len(signatures)))
    random.shuffle(order)
    found = sets_of(len(signatures), near_pairs(signatures))
    turned = sets_of(len(signatures), near_pairs([signatures[index] for index in order]))
    assert sorted(tuple(sorted(order[index] for index in members)) for members in turned) == found


@settings(deadline=None, max_examples=40)
@given(_mixtures())
def test_identical_signatures_are_always_in_one_set(signatures: list[bytes]) -> None:
    pairs = near_pairs(signatures)
    assert pairs == sorted(set(pairs))
    assert all(i < j for i, j in pairs)
    home = {index: number for number, members in enumerate(sets_of(len(signatures), pairs)) for index in members}
    for i, j in combinations(range(len(signatures)), 2):
        if signatures[i] and signatures[i] == signatures[j]:
            assert home[i] == home[j]


def test_more_pictures_than_a_block_are_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = [_signature(LEAKS["jpeg_30"](picture)) for picture in PHOTOS]
    both = [*SIGNATURES, *copies]
    wanted = sets_of(len(both), near_pairs(both))
    assert len(wanted) == len(PHOTOS)
    for name, size in {"_ROWS": 10, "_COLUMNS": 7, "_TILE_ROWS": 4, "_CHUNK": 3}.items():
        monkeypatch.setattr(similarity, name, size)
    assert sets_of(len(both), near_pairs(both)) == wanted


def test_frames_of_a_still_scene_are_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnntrain.data.scanning.similarity._CHUNK", 16)
    random = np.random.default_rng(5)
    scene = np.asarray(PHOTOS[0].convert("L").reduce(3)).astype(float)
    frames = [np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(60)]
    signatures = [signature(frame) for frame in frames]
    assert len(set(signatures)) == 60
    found = near_pairs(signatures)
    assert len(found) == 59
    assert sets_of(60, found) == [tuple(range(60))]


def _one_scene(count: int, share: float) -> list[bytes]:
    """Signatures of pictures of one scene, each with a variation of its own, of this amplitude."""
    scene = _field(np.random.default_rng(1000), (64, 64))
    fields = [_field(np.random.default_rng(number), (64, 64)) for number in range(count)]
    grays = [np.clip(128 + 40 * (scene + share * field), 0, 255).astype(np.uint8) for field in fields]
    return [signature(gray) for gray in grays]


def _left_by_least_squares(one: bytes, other: bytes) -> float:
    """The share of a difference that shifts, stretches and contrast do not explain, worked out pixel by pixel."""
    radius = np.hypot(*np.mgrid[:14, :14])
    points = np.linspace(0.08, 0.92, 20)
    places = np.linspace(-1, 1, 20)
    pictures = []
    for key in (one, other):
        waves = np.zeros(LENGTH)
        waves[np.argsort(radius, axis=None, kind="stable")] = np.frombuffer(key, np.int8)
        waves /= np.linalg.norm(waves)
        at = [np.sqrt(0.5) if k == 0 else 1.0 for k in range(14)]
        values = np.array([at[k] * np.cos(np.pi * k * points) for k in range(14)])
        slopes = np.array([-np.pi * k * np.sin(np.pi * k * points) for k in range(14)])
        square = waves.reshape(14, 14)
        pictures.append(
            [left.T @ square @ right for left, right in ((values, values), (slopes, values), (values, slopes))]
        )
    mean, down, across = (np.mean(each, axis=0) for each in zip(*pictures, strict=True))
    fields = np.stack([mean, down, down * places[:, None], across, across * places]).reshape(5, -1).T
    difference = (pictures[1][0] - pictures[0][0]).ravel()
    amounts = np.linalg.lstsq(fields, difference)[0]
    return float(np.sum((difference - fields @ amounts) ** 2) / np.sum(mean**2))


def test_pairs_of_one_scene_are_told_as_by_least_squares() -> None:
    """With a variation of about what is allowed, half of the pairs are near-duplicates."""
    told = []
    for pair in combinations(_one_scene(16, 0.13), 2):
        left = _left_by_least_squares(*pair)
        if abs(left - 0.03) > 1e-9:
            told.append(left < 0.03)
            assert (near_pairs(pair) == [(0, 1)]) == told[-1]
    assert 0.2 < np.mean(told) < 0.8


def test_pictures_of_one_scene_are_not_aligned_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each two of them are coarsely alike: 19,900 candidates."""
    aligned: list[int] = []

    def counted(one: NDArray[np.int8], other: NDArray[np.int8]) -> NDArray[np.float64]:
        aligned.append(len(one))
        return unexplained(one, other)

    unexplained = similarity._unexplained
    monkeypatch.setattr(similarity, "_unexplained", counted)
    signatures = _one_scene(200, 0.3)
    vectors = np.array([np.frombuffer(key, np.int8)[:64] for key in signatures], float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.min(vectors @ vectors.T) > 0.84
    assert near_pairs(signatures) == []
    assert sum(aligned) < 200


def _sets_by_spreading(count: int, pairs: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The same by naive means: from each number whatever can be reached."""
    found = set()
    for start in range(count):
        reached = {start}
        for _ in range(count):
            reached |= {number for pair in pairs if reached & set(pair) for number in pair}
        found.add(tuple(sorted(reached)))
    return sorted(members for members in found if len(members) > 1)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_sets_are_what_can_be_reached(given_pairs: tuple[int, list[tuple[int, int]]]) -> None:
    assert sets_of(*given_pairs) == _sets_by_spreading(*given_pairs)


def test_a_long_chain_is_one_set() -> None:
    count = 50_000
    assert sets_of(count, [(number + 1, number) for number in reversed(range(count - 1))]) == [tuple(range(count))]
