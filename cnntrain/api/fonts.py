"""Tells where names cannot be drawn."""

from collections.abc import Iterable

from cnntrain.training.events import Message, OnEvent

_SHOWN = 10  # letters


def tell_missing_fonts(listener: OnEvent, texts: Iterable[str]) -> None:
    """Tells in one line if no installed font has some letters of texts that are about to be drawn.

    Args:
        listener: Who is told.
        texts: Names of classes or runs.
    """
    from cnntrain.plots.style import letters_without_font

    missing = letters_without_font(texts)
    if missing:
        shown = "".join(missing[:_SHOWN]) + ("…" if len(missing) > _SHOWN else "")
        listener(
            Message(
                f"warning: no font of this machine has the letters {shown}, so figures show boxes instead; install one "
                "that has them, such as Noto Sans CJK"
            )
        )
