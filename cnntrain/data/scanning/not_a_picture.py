"""What a file that is no picture seems to be, for messages."""

from codecs import getincrementaldecoder
from collections.abc import Mapping


def seems_to_be(content: bytes) -> str:
    """A phrase on what a file that is no picture looks like."""
    start = content[:512]
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            return name
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "an MP4 or QuickTime film")
    words = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _MARKUP.items():
        if words.startswith(magic):
            return name
    if not start.strip(b"\0"):
        return "nothing but zeros"
    return "text" if _is_text(start) else "no kind of picture that is known here"


def _is_text(start: bytes) -> bool:
    """Whether bytes are printable UTF-8, of which the last character may be cut."""
    try:
        text = getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return text != "" and all(char.isprintable() or char in "\t\r\n" for char in text)


_OTHERS: Mapping[bytes, str] = {
    b"II*\0": "a TIFF picture, or a camera's raw data",
    b"MM\0*": "a TIFF picture, or a camera's raw data",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"8BPS": "a Photoshop document",
    b"\0\0\1\0": "a Windows icon",
    b"SIMPLE": "a FITS picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x1aE\xdf\xa3": "a Matroska or WebM film",
    b"RIFF": "an AVI film or a WAV sound",
}
_BRANDS: Mapping[bytes, str] = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "a HEIC picture"),
}
_MARKUP: Mapping[bytes, str] = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "XML, perhaps an SVG drawing",
    b"version https://git-lfs": "a pointer of Git LFS instead of the file",
}
