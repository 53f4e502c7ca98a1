"""A blob is whole or is not there; a key leads nowhere else; a full disk is said."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.blobs import Blobs
from afina.errors import AfinaError, CorruptBlob, Unavailable


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def leftovers(blobs: Blobs) -> list[Path]:
    return list(blobs.temporary.iterdir())


def test_what_is_written_is_read_in_pieces(blobs: Blobs):
    written = blobs.write("files/file-a", [b"ab", b"", b"cde"])
    assert (written.bytes, written.sha256) == (5, hashlib.sha256(b"abcde").hexdigest())
    assert list(blobs.read("files/file-a", chunk=2)) == [b"ab", b"cd", b"e"]
    assert blobs.verify("files/file-a", written.sha256) == written
    assert leftovers(blobs) == []


def test_an_empty_blob_is_a_blob(blobs: Blobs):
    assert blobs.write("files/empty", []).bytes == 0
    assert list(blobs.read("files/empty")) == []


def test_writing_again_replaces_the_whole(blobs: Blobs):
    blobs.write("files/a", [b"long and old"])
    blobs.write("files/a", [b"new"])
    assert b"".join(blobs.read("files/a")) == b"new"


def test_a_reader_keeps_what_it_opened(blobs: Blobs):
    blobs.write("files/a", [b"old"])
    reading = blobs.read("files/a")
    blobs.write("files/a", [b"new"])
    blobs.delete("files/a")
    assert b"".join(reading) == b"old"


def test_what_is_not_committed_was_never_there(blobs: Blobs):
    with blobs.writer("files/a") as writer:
        writer.write(b"half")
    assert leftovers(blobs) == []
    assert not blobs.path("files/a").exists()
    with pytest.raises(RuntimeError), blobs.writer("files/b") as writer:
        writer.write(b"half")
        raise RuntimeError("the client went away")
    assert leftovers(blobs) == []


def test_a_source_that_fails_leaves_the_old_blob(blobs: Blobs):
    def failing() -> Iterator[bytes]:
        yield b"half of the new"
        raise RuntimeError

    blobs.write("files/a", [b"old"])
    with pytest.raises(RuntimeError):
        blobs.write("files/a", failing())
    assert b"".join(blobs.read("files/a")) == b"old"
    assert leftovers(blobs) == []


def test_missing_and_changed_bytes_are_corrupt(blobs: Blobs):
    written = blobs.write("files/a", [b"abc"])
    blobs.path("files/a").write_bytes(b"abd")
    with pytest.raises(CorruptBlob, match="not those that were written"):
        blobs.verify("files/a", written.sha256)
    with pytest.raises(CorruptBlob, match="missing"):
        blobs.read("files/b")  # at once, before anybody asks for a piece


def test_deleting_is_final_and_may_be_repeated(blobs: Blobs):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        blobs.write(f"models/m/{name}", [b"x"])
    blobs.write("models/m2/other", [b"x"])
    blobs.delete("models/m/adapter_config.json")
    blobs.delete("models/m/adapter_config.json")
    blobs.delete("models/none/of/these")
    assert list(blobs.below("models/m")) == ["models/m/adapter_model.safetensors"]
    blobs.delete_folder("models/m")
    blobs.delete_folder("models/none")
    assert list(blobs.below()) == ["models/m2/other"]


def test_a_file_is_copied(blobs: Blobs, tmp_path: Path):
    source = tmp_path / "adapter.safetensors"
    source.write_bytes(b"weights")
    assert blobs.put("models/m/adapter.safetensors", source).bytes == 7
    source.write_bytes(b"other")
    assert b"".join(blobs.read("models/m/adapter.safetensors")) == b"weights"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../x",
        "files/../../x",
        "files/..",
        ".tmp/x",
        "a//b",
        "a/",
        "a\0b",
        "a b",
        "ñ",
        "a\n",
        "C:\\x",
    ],
)
def test_keys_that_could_lead_elsewhere_are_refused(blobs: Blobs, key: str):
    for act in (
        blobs.path,
        blobs.read,
        blobs.delete,
        blobs.delete_folder,
        lambda key: blobs.write(key, [b"x"]),
    ):
        with pytest.raises(AfinaError, match="A blob's key"):
            act(key)


@given(st.text())
def test_no_key_leaves_the_root(key: str):
    blobs = Blobs.__new__(Blobs)  # paths are computed without touching a disk
    blobs.root = Path("/blobs")
    try:
        path = blobs.path(key)
    except AfinaError:
        return
    assert path == Path(os.path.normpath(path))
    assert path.is_relative_to(blobs.root) and path != blobs.root
    assert not path.is_relative_to(blobs.root / ".tmp")


def test_abandoned_temporary_files_are_swept_and_young_ones_stay(blobs: Blobs):
    old, young = blobs.temporary / "old", blobs.temporary / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert blobs.sweep() == 1
    assert leftovers(blobs) == [young]
    assert list(blobs.below()) == []


def test_a_writer_that_finishes_meanwhile_does_not_stop_the_sweep(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
):
    old = blobs.temporary / "old"
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "gone", old]))
    assert blobs.sweep() == 1
    assert not old.exists()


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_nothing(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, call: str, code: int
):
    with pytest.raises(Unavailable) as refused, blobs.writer("files/a") as writer:
        if call == "fsync":
            monkeypatch.setattr(os, "fsync", lambda handle: full(code))
        else:
            monkeypatch.setattr(writer, "file", FullFile(code))
        writer.write(b"x")
        writer.commit()
    monkeypatch.undo()
    assert (refused.value.code, refused.value.retry_after) == ("insufficient_storage", None)
    assert leftovers(blobs) == []
    assert list(blobs.below()) == []


class FullFile:
    """A file on a disk that has no room: writing fails, and so does closing what is buffered."""

    def __init__(self, code: int):
        self.code = code

    def write(self, chunk: bytes) -> None:
        full(self.code)

    def close(self) -> None:
        full(self.code)


def full(code: int) -> None:
    raise OSError(code, os.strerror(code))


def test_other_failures_of_a_disk_are_not_called_full(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OSError) as broken, blobs.writer("files/a") as writer:
        monkeypatch.setattr(os, "fsync", lambda handle: full(errno.EIO))
        writer.write(b"x")
        writer.commit()
    assert broken.value.errno == errno.EIO
    assert leftovers(blobs) == []


def test_bytes_and_names_are_synced_in_the_order_that_survives_a_power_cut(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
):
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(handle: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def noting_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    blobs.write("models/m/weights", [b"x"])
    assert done[1:] == ["blobs", "models", "rename", "m"]  # after the file itself, whose name is random


def test_blobs_joined_are_one_blob_in_the_order_given(blobs: Blobs):
    for name, content in (("a", b"first "), ("b", b"second "), ("c", b"third")):
        blobs.write(f"uploads/u/{name}", [content])
    blobs.join("files/whole", ["uploads/u/b", "uploads/u/a", "uploads/u/c"])
    assert b"".join(blobs.read("files/whole")) == b"second first third"
    assert blobs.verify("files/whole", hashlib.sha256(b"second first third").hexdigest()).bytes == 18
    assert leftovers(blobs) == []


def test_what_is_joined_outlives_its_parts_and_is_not_copied(blobs: Blobs):
    parts = ["uploads/u/a", "uploads/u/b"]
    blocks = {blobs.write(part, [b"x"]) and blobs.path(part).stat().st_ino for part in parts}
    blobs.join("files/whole", parts)
    blobs.delete("uploads/u")
    assert list(blobs.below()) == ["files/whole/00001", "files/whole/00002"]
    assert {blobs.path(key).stat().st_ino for key in blobs.below()} == blocks
    assert b"".join(blobs.read("files/whole")) == b"xx"
    blobs.delete("files/whole")
    assert list(blobs.below()) == [] and leftovers(blobs) == []


def test_what_is_joined_is_young_whatever_its_parts_were(blobs: Blobs):
    blobs.write("uploads/u/a", [b"x"])
    os.utime(blobs.path("uploads/u/a"), (1, 1))
    blobs.join("files/whole", ["uploads/u/a"])
    assert blobs.age("files/whole/00001") < 3600


def test_a_join_with_a_missing_part_leaves_nothing(blobs: Blobs):
    blobs.write("uploads/u/a", [b"x"])
    with pytest.raises(CorruptBlob):
        blobs.join("files/whole", ["uploads/u/a", "uploads/u/b"])
    assert leftovers(blobs) == [] and not blobs.path("files/whole").exists()


def test_a_missing_piece_is_told(blobs: Blobs):
    for name in "ab":
        blobs.write(f"uploads/u/{name}", [b"x"])
    blobs.join("files/whole", ["uploads/u/a", "uploads/u/b"])
    blobs.path("files/whole/00002").unlink()
    with pytest.raises(CorruptBlob):
        blobs.verify("files/whole", hashlib.sha256(b"xx").hexdigest())


def test_what_a_broken_join_left_is_swept(blobs: Blobs):
    aside = blobs.temporary / "left"
    aside.mkdir()
    (aside / "00001").write_bytes(b"x")
    os.utime(aside, (1, 1))
    assert blobs.sweep() == 1
    assert leftovers(blobs) == []
