"""A resume point is whole or is not there."""

import shutil
from pathlib import Path

import pytest

from afina.training import resume_points
from afina.training.resume_points import ResumePoint


async def save(path: Path) -> None:
    (path / "weights").write_bytes(b"w" * 100)
    (path / "optimizer").write_bytes(b"o" * 100)


async def save_half(path: Path) -> None:
    (path / "weights").write_bytes(b"w" * 50)
    raise OSError("no space left")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "job"


async def write(job: Path, *steps: int, fence: int = 1) -> list[ResumePoint]:
    return [await resume_points.write(job / str(fence) / "resume", step, save) for step in steps]


async def test_what_was_written_is_found(job):
    (point,) = await write(job, 3)
    assert resume_points.latest(job) == point == ResumePoint(3, job / "1" / "resume" / "step-00000003")
    assert sorted(path.name for path in point.path.iterdir()) == ["optimizer", "resume.json", "weights"]


async def test_the_last_two_are_kept(job):
    points = await write(job, 1, 9, 10, 100)
    assert sorted((job / "1" / "resume").iterdir()) == [point.path for point in points[2:]]


async def test_the_furthest_of_all_runs_is_found(job):
    await write(job, 10, 20)
    await write(job, 5, fence=2)
    found = resume_points.latest(job)
    assert found and found.step == 20


async def test_a_job_that_never_ran_has_none(job):
    assert resume_points.latest(job) is None


async def test_a_write_that_breaks_is_never_found(job):
    await write(job, 1)
    with pytest.raises(OSError):
        await resume_points.write(job / "1" / "resume", 2, save_half)
    found = resume_points.latest(job)
    assert found and found.step == 1


async def test_a_write_that_breaks_before_its_seal_or_its_name_is_never_found(job):
    """Each prefix of what a write does to the disk, as a kill would leave it."""
    (point,) = await write(job, 7)
    whole = point.path
    partial = whole.rename(whole.with_name(".step-00000007"))
    assert resume_points.latest(job) is None  # sealed, without its name
    (partial / "resume.json").unlink()
    partial.rename(whole)
    assert resume_points.latest(job) is None  # named, without its seal


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path / "weights"),
        lambda path: (path / "optimizer").write_bytes(b"o" * 99),
        lambda path: (path / "weights").unlink(),
        lambda path: (path / "resume.json").write_text("{"),
        lambda path: (path / "resume.json").write_text("[]"),
        lambda path: (path / "resume.json").write_text('{"step": 2, "files": []}'),
        lambda path: (path / "resume.json").unlink(),
        shutil.rmtree,
    ],
    ids=["bit", "short", "missing", "no json", "no object", "other types", "no seal", "gone"],
)
async def test_a_damaged_one_is_passed_over(job, damage):
    older, newer = await write(job, 1, 2)
    damage(newer.path)
    assert resume_points.latest(job) == older
