"""Unpacking of archives: what is harmless comes out whole, everything else is refused."""

import random
import re
import stat
import zipfile
from pathlib import Path

import pytest

from cnntrain.data.archives import extract_zip
from cnntrain.errors import CnntrainError, DataError, WriteError


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
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
    extract_zip(_zip(tmp_path / "a.zip", {**members, "empty/": b"", "__MACOSX/train/._cat.0.jpg": b"x"}), into)
    assert _files(into) == {name.removeprefix("./"): content for name, content in members.items()}
    assert not (into / "empty").exists()


def test_backslashes_separate_folders(tmp_path: Path, into: Path) -> None:
    extract_zip(_zip(tmp_path / "a.zip", {"cat\\1.jpg": b"1", "dog\\": b""}), into)
    assert _files(into) == {"cat/1.jpg": b"1"}


def test_names_in_utf8_without_the_flag_are_read_as_utf8(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"XXXXXX/1.jpg": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"XXXXXX", "猫é!".encode()))
    extract_zip(archive, into)
    assert _files(into) == {"猫é!/1.jpg": b"1"}


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "a\\..\\..\\evil.jpg", "C:\\evil.jpg", "a/C:evil.jpg"]
)
def test_paths_that_lead_outside_are_refused_before_anything_is_written(tmp_path: Path, into: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", {"good.jpg": b"1", name: b"evil"})
    with pytest.raises(DataError, match="leads outside"):
        extract_zip(archive, into)
    assert _files(tmp_path) == {"a.zip": archive.read_bytes()}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(tmp_path: Path, into: Path, kind: int) -> None:
    info = zipfile.ZipInfo("cat/1.jpg")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/hostname")
    with pytest.raises(DataError, match=r"'cat/1\.jpg' is a link or another special file"):
        extract_zip(tmp_path / "a.zip", into)


def test_encrypted_members_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"cat.jpg": b"1"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # general purpose flag of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the same flag in the directory
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        extract_zip(archive, into)


def test_methods_that_unpack_without_bound_are_refused(tmp_path: Path, into: Path) -> None:
    with pytest.raises(DataError, match="uncommon method"):
        extract_zip(_zip(tmp_path / "a.zip", {"cat.jpg": b"1"}, zipfile.ZIP_BZIP2), into)


def test_too_many_bytes_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.jpg": bytes(600), "b.jpg": bytes(401)})
    with pytest.raises(DataError, match=r"unpacks to 1,001 bytes, more than 1,000"):
        extract_zip(archive, into, max_bytes=1000)
    assert _files(into) == {}
    extract_zip(archive, into, max_bytes=1001)
    assert len(_files(into)) == 2


def test_a_bomb_is_refused_unpacked_by_none(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.bmp": bytes(101 * 2**20)})
    with pytest.raises(DataError, match="more than 200 times its size"):
        extract_zip(archive, into)
    assert _files(into) == {}


def test_two_members_of_one_name_are_refused(tmp_path: Path, into: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"cat/1.jpg": b"1", "./cat/1.jpg": b"2"})
    with pytest.raises(DataError, match=r"two of its members are called '1\.jpg'"):
        extract_zip(archive, into)


@pytest.mark.parametrize("name", ["missing.zip", "folder.zip", "text.zip", "cut.zip", "changed.zip"])
def test_a_damaged_zip_is_named(tmp_path: Path, into: Path, name: str) -> None:
    good = _zip(tmp_path / "a.zip", {"cat.jpg": b"0123456789" * 50}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "text.zip").write_text("no zip", encoding="utf-8")
    (tmp_path / "cut.zip").write_bytes(good[:-10])
    (tmp_path / "changed.zip").write_bytes(good.replace(b"9012", b"9112", 1))
    with pytest.raises(DataError, match=re.escape(name)) as caught:
        extract_zip(tmp_path / name, into)
    assert "\n" not in str(caught.value)


def test_a_target_that_cannot_be_written_is_a_write_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    archive = _zip(tmp_path / "a.zip", {"cat.jpg": b"1"})
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(WriteError, match=r"cat\.jpg: No space left on device"):
        extract_zip(archive, tmp_path)


def test_mutated_archives_end_in_files_or_in_one_line(tmp_path: Path) -> None:
    good = _zip(tmp_path / "a.zip", {"cat/1.jpg": b"0123456789" * 9, "dog/2.jpg": b"abc"}).read_bytes()
    chance = random.Random(7)
    refusals = []
    for number in range(300):
        content = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        archive, into = tmp_path / "mutant.zip", tmp_path / "in" / str(number)
        archive.write_bytes(content)
        into.mkdir(parents=True)
        try:
            extract_zip(archive, into)
        except CnntrainError as error:
            refusals.append(str(error))
    assert len(refusals) > 150
    assert [line for line in refusals if "\n" in line] == []
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "mutant.zip", "in"}
