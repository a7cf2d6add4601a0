"""Letters of any script in figures: drawn where a font has them, told of where none has."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from cnntrain.api.fonts import tell_missing_fonts
from cnntrain.plots import style
from cnntrain.plots.confusion import draw_confusion
from cnntrain.plots.style import fonts, letters_without_font, to_png
from cnntrain.training.events import Event, Message


def _write_font(path: Path, family: str, letters: str) -> None:
    """A font whose every letter is a square."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.lineTo if point != (0, 0) else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): f"uni{ord(letter):04X}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with DejaVu Sans alone, until a test installs another font."""
    alone = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", alone)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    monkeypatch.setattr(style, "_installed", style._installed.__wrapped__)
    return monkeypatch


def _told(*names: str) -> list[Event]:
    events: list[Event] = []
    tell_missing_fonts(events.append, names)
    return events


def test_where_no_font_has_a_letter_one_line_says_so(machine: pytest.MonkeyPatch) -> None:
    assert letters_without_font(["naïve", "кот", "قطة", "日本 cat", "猫日"]) == "日本猫"
    (message,) = _told("cat", "猫", "犬")
    assert isinstance(message, Message)
    assert "letters 猫犬, so" in message.text
    assert "\n" not in message.text


def test_nothing_is_said_where_all_letters_can_be_drawn(machine: pytest.MonkeyPatch) -> None:
    assert _told("cat", "Hündchen", "кошка", "قطة", "a\tb\x00 \ud800") == []


def test_only_the_first_letters_of_many_are_shown(machine: pytest.MonkeyPatch) -> None:
    (message,) = _told("".join(map(chr, range(0x4E00, 0x4E00 + 30))))
    assert "letters 一丁丂七丄丅丆万丈三…, so" in getattr(message, "text", "")


def test_a_font_that_was_installed_since_is_found_and_used(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Matplotlib remembers the fonts that it has found once."""
    matrix = np.array([[3, 1], [0, 2]])
    boxes = to_png(draw_confusion(matrix, ["猫", "犬"]))
    _write_font(tmp_path / "new.ttf", "Noto Sans CJK SC", "猫犬")
    machine.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "new.ttf")])
    assert fonts() == ["DejaVu Sans", "Noto Sans CJK SC"]
    assert _told("猫", "犬") == []
    assert to_png(draw_confusion(matrix, ["猫", "犬"])) != boxes


def test_a_broken_font_is_passed_over(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    machine.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "broken.ttf")])
    assert fonts() == ["DejaVu Sans"]
