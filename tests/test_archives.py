"""Unpacking of archives: what is harmless comes out whole, everything else is refused."""

import errno
import gzip
import io
import random
import re
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cnntrain.data.sources import find_labelled, find_source, find_unlabelled, kept_unpacked, opening, unpacked
from cnntrain.data.sources.archives import is_archive, unpack
from cnntrain.data.splitting.split import split_source
from cnntrain.data.splitting.wishes import Wishes
from cnntrain.errors import CnntrainError, DataError, WriteError


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def _tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo], kind: str = "gz") -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            info.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "into"
    folder.mkdir(parents=True)
    return folder


def test_files_come_out_as_they_went_in(tmp_path: Path, into: Path) -> None:
    members = {"train/cat.0.jpg": b"cat" * 999, "./a/b/ü 1.png": b"", "dog.1.jpg": bytes(range(256))}
    junk = {"__MACOSX/train/._cat.0.jpg": b"x", "train/Thumbs.db": b"x", "a/@eaDir/1.png": b"x", ".DS_Store": b"x"}
    unpack(_zip(tmp_path / "a.zip", {**members, "empty/": b"", **junk}), into)
    assert _files(into) == {name.removeprefix("./"): content for name, content in members.items()}
    assert not (into / "empty").exists()


def test_backslashes_separate_folders(tmp_path: Path, into: Path) -> None:
    unpack(_zip(tmp_path / "a.zip", {"cat\\1.jpg": b"1", "dog\\": b""}), into)
    assert _files(into) == {"cat/1.jpg": b"1"}


def test_names_in_utf8_without_the_flag_are_read_as_utf8(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"XXXXXX/1.jpg": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"XXXXXX", "猫é!".encode()))
    unpack(archive, into)
    assert _files(into) == {"猫é!/1.jpg": b"1"}


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "a\\..\\..\\evil.jpg", "C:\\evil.jpg", "a/C:evil.jpg"]
)
def test_paths_that_lead_outside_are_refused_before_anything_is_written(tmp_path: Path, into: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", {"good.jpg": b"1", name: b"evil"})
    with pytest.raises(DataError, match="leads outside"):
        unpack(archive, into)
    assert _files(tmp_path) == {"a.zip": archive.read_bytes()}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(tmp_path: Path, into: Path, kind: int) -> None:
    info = zipfile.ZipInfo("cat/1.jpg")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/hostname")
    with pytest.raises(DataError, match=r"'cat/1\.jpg' is a link or another special file"):
        unpack(tmp_path / "a.zip", into)


def test_encrypted_members_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"cat.jpg": b"1"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # general purpose flag of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the same flag in the directory
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        unpack(archive, into)


def test_methods_that_unpack_without_bound_are_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(DataError, match="uncommon method"):
        unpack(_zip(tmp_path / "a.zip", {"cat.jpg": b"1"}, zipfile.ZIP_BZIP2), into)


def test_too_many_bytes_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.jpg": bytes(600), "b.jpg": bytes(401)})
    with pytest.raises(DataError, match=r"unpacks to 1,001 bytes, more than 1,000"):
        unpack(archive, into, max_bytes=1000)
    assert _files(into) == {}
    unpack(archive, into, max_bytes=1001)
    assert len(_files(into)) == 2


def test_a_bomb_is_refused_unpacked_by_none(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.bmp": bytes(101 * 2**20)})
    with pytest.raises(DataError, match="more than 200 times its size"):
        unpack(archive, into)
    assert _files(into) == {}


def test_two_members_of_one_name_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"cat/1.jpg": b"1", "./cat/1.jpg": b"2"})
    with pytest.raises(DataError, match=r"two of its members are called '1\.jpg'"):
        unpack(archive, into)


def _extra(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


@pytest.mark.parametrize(("version", "changed", "name"), [(1, 0, "猫/1.jpg"), (2, 0, "öL/1.jpg"), (1, 1, "öL/1.jpg")])
def test_a_unicode_path_counts_where_it_belongs_to_the_name(
    tmp_path: Path, into: Path, version: int, changed: int, name: str
) -> None:
    raw = "猫".encode("cp932") + b"/1.jpg"  # which code page 437 reads as öL
    field = struct.pack("<BL", version, zlib.crc32(raw) ^ changed) + "猫/1.jpg".encode()
    info = zipfile.ZipInfo("XX/1.jpg")
    info.extra = _extra(0x9999, b"other") + _extra(0x7075, field)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"1")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"XX/1.jpg", raw))
    unpack(tmp_path / "a.zip", into)
    assert _files(into) == {name: b"1"}


def test_a_unicode_path_may_not_lead_outside_either(tmp_path: Path, into: Path) -> None:
    info = zipfile.ZipInfo("good.jpg")
    info.extra = _extra(0x7075, struct.pack("<BL", 1, zlib.crc32(b"good.jpg")) + b"../evil.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"1")
    with pytest.raises(DataError, match="leads outside"):
        unpack(tmp_path / "a.zip", into)


@pytest.mark.parametrize("field", [b"\1\2", struct.pack("<BL", 1, zlib.crc32(b"good.jpg")) + b"\xff"])
def test_a_damaged_unicode_path_is_told_by_every_python(tmp_path: Path, into: Path, field: bytes) -> None:
    info = zipfile.ZipInfo("good.jpg")
    info.extra = _extra(0x7075, field)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"1")
    with pytest.raises(DataError, match=r"a\.zip is damaged"):
        unpack(tmp_path / "a.zip", into)


@pytest.mark.parametrize("name", ["missing.zip", "folder.zip", "text.zip", "cut.zip", "changed.zip"])
def test_a_damaged_zip_is_named(tmp_path: Path, into: Path, name: str) -> None:
    good = _zip(tmp_path / "a.zip", {"cat.jpg": b"0123456789" * 50}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "text.zip").write_text("no zip", encoding="utf-8")
    (tmp_path / "cut.zip").write_bytes(good[:-10])
    (tmp_path / "changed.zip").write_bytes(good.replace(b"9012", b"9112", 1))
    with pytest.raises(DataError, match=re.escape(name)) as caught:
        unpack(tmp_path / name, into)
    assert "\n" not in str(caught.value)


def test_too_many_members_are_refused(tmp_path: Path, into: Path) -> None:
    members = {"a.jpg": b"", "b.jpg": b"", "c/": b""}
    for archive in (_zip(tmp_path / "a.zip", members), _tar(tmp_path / "a.tgz", members)):
        with pytest.raises(DataError, match="more than 2 members"):
            unpack(archive, into, max_members=2)


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, into: Path) -> None:
    with pytest.raises(DataError, match="has a name that no file can have"):
        unpack(_zip(tmp_path / "a.zip", {"n" * 300: b"1"}), into)


def test_a_target_that_cannot_be_written_is_a_write_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    archive = _zip(tmp_path / "a.zip", {"cat.jpg": b"1"})
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(WriteError, match=r"cat\.jpg: No space left on device"):
        unpack(archive, tmp_path)


class _FullDisk(io.RawIOBase):
    """A file for which there is no room; what is small is written when it is closed."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_full_disk_is_not_blamed_on_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, size: int
) -> None:
    members = {"cat.jpg": bytes(size)}
    archive = _zip(tmp_path / "a.zip", members) if suffix == ".zip" else _tar(tmp_path / "a.tar", members, "")
    real = Path.open

    def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return io.BufferedWriter(_FullDisk()) if mode == "xb" else real(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(WriteError, match=r"cat\.jpg: No space left on device") as caught:
        unpack(archive, tmp_path)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(("suffix", "least"), [(".zip", 100), (".tar", 10), (".tar.gz", 100), (".tar.xz", 100)])
def test_mutated_archives_end_in_files_or_in_one_line(tmp_path: Path, suffix: str, least: int) -> None:
    members = {"cat/1.jpg": b"0123456789" * 9, "dog/2.jpg": b"abc"}
    name = tmp_path / f"a{suffix}"
    good = (_zip(name, members) if suffix == ".zip" else _tar(name, members, suffix[5:])).read_bytes()
    chance = random.Random(7)
    refusals = []
    for number in range(200):
        content = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        archive, into = tmp_path / f"mutant{suffix}", tmp_path / "in" / str(number)
        archive.write_bytes(content)
        into.mkdir(parents=True)
        try:
            unpack(archive, into)
        except CnntrainError as error:
            refusals.append(str(error))
    assert len(refusals) > least
    assert [line for line in refusals if "\n" in line] == []
    assert {path.name for path in tmp_path.iterdir()} == {name.name, archive.name, "in"}


# tar


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tar", ""), ("a.tar.gz", "gz"), ("a.TGZ", "gz"), ("a.tar.bz2", "bz2"), ("a.tar.xz", "xz"), ("a.tgz", "")],
)
def test_tars_come_out_as_they_went_in(tmp_path: Path, into: Path, name: str, kind: str) -> None:
    long = "folder/" * 30 + "1.jpg"
    members = {"train/cat.0.jpg": b"cat" * 999, "./a/ü 1.png": b"", "block.jpg": bytes(1024), long: b"x" * 3_000_000}
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    unpack(_tar(tmp_path / name, {**members, "empty": folder, "a/._1.png": b"x"}, kind), into)
    assert _files(into) == {path.removeprefix("./"): content for path, content in members.items()}
    assert not (into / "empty").exists()


@pytest.mark.parametrize("kind", ["", "gz"])
@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "a\\..\\..\\evil.jpg", "C:\\evil.jpg"]
)
def test_tars_that_lead_outside_are_refused(tmp_path: Path, into: Path, name: str, kind: str) -> None:
    archive = _tar(tmp_path / "a.tar", {"good.jpg": b"1", name: b"evil"}, kind)
    with pytest.raises(DataError, match="leads outside"):
        unpack(archive, into)
    written = {"deep/into/good.jpg"} if kind else set()  # what is compressed is looked at once only
    assert set(_files(tmp_path)) == {"a.tar", *written}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, into: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("cat/1.jpg")
    member.type, member.linkname = kind, "/etc/hostname"
    with pytest.raises(DataError, match=r"'cat/1\.jpg' is a link or another special file"):
        unpack(_tar(tmp_path / "a.tar", {"cat/1.jpg": member}), into)
    assert _files(into) == {}


def test_tars_of_too_many_bytes_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _tar(tmp_path / "a.tgz", {"a.jpg": bytes(600), "b.jpg": bytes(401)})
    with pytest.raises(DataError, match=r"unpacks to 1,001 bytes, more than 1,000"):
        unpack(archive, into, max_bytes=1000)
    (into / "a.jpg").unlink()
    unpack(archive, into, max_bytes=1001)
    assert len(_files(into)) == 2


def test_a_tar_bomb_is_refused_before_its_file_is_written(tmp_path: Path, into: Path) -> None:
    with pytest.raises(DataError, match="more than 200 times its size"):
        unpack(_tar(tmp_path / "a.tgz", {"a.bmp": bytes(101 * 2**20)}), into)
    assert _files(into) == {}


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, into: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 50 * 2**20
    (tmp_path / "a.tgz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(member.size), 1))
    with pytest.raises(DataError, match="a header is too large"):
        unpack(tmp_path / "a.tgz", into)


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header of 512 bytes, where `tarfile` writes no negative size."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _pax_size(size: int) -> bytes:
    """A header that gives the next member another size."""
    record = next(text for n in range(99) if len(text := f"{n} size={size}\n") == n).encode()
    return _header("pax", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")


@pytest.mark.parametrize(
    "first",
    [
        _header("d/", -(10**15), tarfile.DIRTYPE),
        _header("._x.png", -512),
        _pax_size(-(10**15)) + _header("d/", 0, tarfile.DIRTYPE),
        _pax_size(-100) + _header("x.png", 0),
    ],
)
def test_negative_sizes_are_refused_and_make_no_room_for_a_bomb(tmp_path: Path, into: Path, first: bytes) -> None:
    size = 101 * 2**20
    (tmp_path / "a.tgz").write_bytes(gzip.compress(first + _header("a.bmp", size) + bytes(size + 1024), 1))
    with pytest.raises(DataError, match=r"a\.tgz is damaged .*size"):
        unpack(tmp_path / "a.tgz", into)
    assert _files(into) == {}


def test_the_size_of_a_folder_does_not_count(tmp_path: Path, into: Path) -> None:
    (tmp_path / "a.tar").write_bytes(_header("d/", 4096, tarfile.DIRTYPE) + _header("d/1.jpg", 0) + bytes(1024))
    unpack(tmp_path / "a.tar", into, max_bytes=0)
    assert _files(into) == {"d/1.jpg": b""}


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_without_end_are_refused(tmp_path: Path, into: Path, kind: bytes) -> None:
    headers = (_header("x", 11, kind) + b"11 path=ab\n".ljust(512, b"\0")) * 1500
    (tmp_path / "a.tar").write_bytes(headers + _header("a.jpg", 0) + bytes(1024))
    with pytest.raises(DataError, match="too many headers belong to one member"):
        unpack(tmp_path / "a.tar", into)


@pytest.mark.parametrize("kind", ["", "gz"])
@pytest.mark.parametrize("damage", ["missing", "text", "empty", "cut", "no end", "second header", "sum"])
def test_a_damaged_tar_is_named(tmp_path: Path, into: Path, kind: str, damage: str) -> None:
    archive = tmp_path / "a.tar.gz"
    whole = _tar(archive, {"a.jpg": b"0123456789" * 50, "b.jpg": b"1"}, "").read_bytes()
    raw = {
        "cut": whole[:600],
        "no end": whole[: 4 * 512],
        "second header": whole[:1030] + b"?" + whole[1031:],
    }.get(damage, whole)
    content = gzip.compress(raw) if kind else raw
    if damage == "sum":
        content = content[:-8] + b"abcd" + content[-4:] if kind else raw[:150] + b"9" + raw[151:]
    archive.write_bytes({"text": b"no tar", "empty": b""}.get(damage, content))
    if damage == "missing":
        archive.unlink()
    with pytest.raises(DataError, match=r"a\.tar\.gz") as caught:
        unpack(archive, into)
    assert "\n" not in str(caught.value)


def test_two_members_of_a_tar_with_one_name_are_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(DataError, match="two of its members"):
        unpack(_tar(tmp_path / "a.tar", {"cat/1.jpg": b"1", "cat/./1.jpg": b"2"}), into)


# for a while, and for good


def test_archives_are_told_by_their_suffix(tmp_path: Path) -> None:
    names = ("a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tbz2", "a.tar.xz", "a.txz")
    assert all(is_archive(tmp_path / name) for name in names)
    assert not any(is_archive(tmp_path / name) for name in ("a.gz", "zip", "a.csv", "a"))
    (tmp_path / "folder.zip").mkdir()
    assert not is_archive(tmp_path / "folder.zip")


def test_what_is_no_archive_is_used_where_it_is(tmp_path: Path) -> None:
    with unpacked(tmp_path, tmp_path / "out") as place:
        assert place == tmp_path
    assert kept_unpacked(tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_unpacked_beside_for_a_while(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"cat.0.jpg": b"1", "dog.0.jpg": b"2"})
    with unpacked(archive, tmp_path / "new" / "out") as place:
        assert place.parent == (tmp_path / "new").resolve()
        assert [item.label for item in find_source(place, name="a.zip").examples] == ["cat", "dog"]
        (tmp_path / "new" / "out").mkdir()
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "out"]


def test_nothing_is_left_beside_of_a_refused_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    for beside in (tmp_path / "new" / "er" / "out", tmp_path / "out"):
        with pytest.raises(DataError, match=r"a\.zip is damaged"), unpacked(tmp_path / "a.zip", beside):
            pass
    assert list(tmp_path.iterdir()) == [tmp_path / "a.zip"]
    with (
        pytest.raises(WriteError, match="cannot write"),
        unpacked(tmp_path / "a.zip", tmp_path / "a.zip" / "x" / "y"),
    ):
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNTRAIN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "archives"


def test_an_archive_is_unpacked_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _tar(tmp_path / "a.tgz", {"cat.0.jpg": b"1"})
    folder = kept_unpacked(archive)
    assert _files(folder) == {"cat.0.jpg": b"1"}
    assert list(cache.iterdir()) == [folder]
    monkeypatch.setattr(opening, "unpack", None)
    assert kept_unpacked(archive) == folder
    archive.rename(tmp_path / "b.tgz")
    assert kept_unpacked(tmp_path / "b.tgz") == folder


def test_another_content_is_another_folder(tmp_path: Path, cache: Path) -> None:
    first = kept_unpacked(_zip(tmp_path / "a.zip", {"cat.0.jpg": b"1"}))
    second = kept_unpacked(_zip(tmp_path / "a.zip", {"cat.0.jpg": b"2"}))
    assert (_files(first), _files(second)) == ({"cat.0.jpg": b"1"}, {"cat.0.jpg": b"2"})


PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("way", ["absolute", "above"])
def test_a_table_in_an_archive_names_nothing_outside(tmp_path: Path, cache: Path, way: str) -> None:
    private = tmp_path / "private.png"
    private.write_bytes(PICTURE)
    named = str(private) if way == "absolute" else "../" * 20 + str(private).lstrip("/")
    table = f"path,label\n0.png,cat\n1.png,dog\n{named},dog\n"
    archive = _zip(tmp_path / "a.zip", {"labels.csv": table.encode(), "0.png": PICTURE + b"0", "1.png": PICTURE + b"1"})
    words = r"^labels\.csv of .*, row 4: '.*private\.png' lies outside the folder of the table"
    for find in (find_source, find_labelled, find_unlabelled):
        with pytest.raises(DataError, match=words):
            find(kept_unpacked(archive), name=str(archive))
    with pytest.raises(DataError, match=words):
        split_source(archive, tmp_path / "out", Wishes(ratios=(0.5, 0, 0.5), near_duplicates="ignore"))
    assert private.read_bytes() == PICTURE
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "cache", "private.png"}


def test_nothing_is_kept_of_a_damaged_archive(tmp_path: Path, cache: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.jpg": b"1", "b.jpg": b"0123456789" * 50}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"9012", b"9112", 1))
    with pytest.raises(DataError, match=r"a\.zip is damaged"):
        kept_unpacked(archive)
    assert list(cache.iterdir()) == []
    with pytest.raises(DataError, match=r"cannot read .*no\.zip"):
        kept_unpacked(tmp_path / "no.zip")


def test_two_at_once_do_no_harm(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _zip(tmp_path / "a.zip", {f"{number}.jpg": b"1" for number in range(20)})
    together = threading.Barrier(2, timeout=20)

    def at_once(place: Path, into: Path) -> None:
        unpack(place, into)
        together.wait()  # both have found that nothing is there

    monkeypatch.setattr(opening, "unpack", at_once)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(kept_unpacked(archive))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert len(_files(folders[0])) == 20
    assert list(cache.iterdir()) == [folders[0]]
