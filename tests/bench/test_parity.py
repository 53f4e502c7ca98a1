"""The gate: what is near enough, and that the two sides really are."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.course import Course, prepare
from bench.options import Options
from bench.parity import Parity
from bench.rows import Duel, Talk
from bench.shapes import Shape
from safetensors.numpy import load_file, save_file

from bench import grpo, parity

SOUND = Parity(
    same_tokens=True, worst_loss=1e-7, adapter_cosine=0.99999, worst_gradient=1e-6, worst_tensor="a"
)
MINI = Shape("mini", 16, 2, 2, 1, 32, 8192, 512, batch=2, quick_batch=2)


def test_equal_sides_pass() -> None:
    assert SOUND.holds


@pytest.mark.parametrize(
    "broken",
    [
        {"same_tokens": False},
        {"worst_loss": 2e-5},
        {"worst_loss": math.nan},
        {"adapter_cosine": 0.9998},
        {"adapter_cosine": math.nan},
        {"worst_gradient": 0.047},
        {"worst_gradient": math.inf},
    ],
)
def test_one_difference_is_enough_to_fail(broken: dict[str, float]) -> None:
    found = {name: getattr(SOUND, name) for name in SOUND.__dataclass_fields__}
    assert not Parity(**found | broken).holds


def test_a_loss_that_is_no_number_equals_none() -> None:
    assert parity.gap(1.0, 1.0) == 0.0
    assert parity.gap(1.1, 1.0) == pytest.approx(0.1)
    assert parity.gap(math.nan, math.nan) == math.inf


def test_adapters_are_compared_as_directions() -> None:
    one = {"a": np.array([1.0, 0.0], np.float32), "b": np.array([[1.0]], np.float32)}
    other = {"a": np.array([0.0, 1.0], np.float32), "b": np.array([[1.0]], np.float32)}
    assert parity.cosine(one, one) == pytest.approx(1.0)
    assert parity.cosine(one, other) == pytest.approx(0.5)
    assert parity.cosine(one, {"a": one["a"]}) == 0.0


def test_the_worst_tensor_is_named(tmp_path: Path) -> None:
    one = {"a": np.array([1.0, 2.0], np.float32), "b": np.array([4.0], np.float32)}
    save_file(one, tmp_path / "one")
    save_file(one | {"b": np.array([5.0], np.float32)}, tmp_path / "other")
    assert parity.farthest(tmp_path / "one", tmp_path / "other") == (pytest.approx(0.2), "b")
    save_file({"a": one["a"]}, tmp_path / "fewer")
    assert parity.farthest(tmp_path / "one", tmp_path / "fewer")[0] == math.inf


SHORT = Talk(median=20, p95=40)
PAIRS = Duel(prompt=SHORT, answer=Talk(median=20, p95=40, supervised=1.0))


@pytest.fixture
def course(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A very small base, and conversations or pairs for a few steps."""
    work: Talk | Duel = getattr(request, "param", SHORT)
    monkeypatch.setattr(parity, "STEPS", 4)
    monkeypatch.setattr("bench.course.POOL", 16)
    given = Options(MINI, True, False, tmp_path, time.monotonic(), pairs=1, steps=2, seconds=60)
    return prepare(given, MINI, work, name="parity")


@pytest.mark.slow
@pytest.mark.parametrize("course", [SHORT, PAIRS], indirect=True, ids=["sft", "dpo"])
def test_trl_and_the_engine_take_the_same_steps(course: Course) -> None:
    found = parity.check(course.task("random", "float32"))
    assert found.holds, found


@pytest.mark.slow
def test_trl_learns_the_same_from_the_same_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "STEPS", 3)
    given = Options(MINI, True, False, tmp_path, time.monotonic(), pairs=1, steps=1, seconds=60)
    task = grpo.prepare(given, MINI, replace(grpo.GATE, prompt=24, reply=16), name="parity")
    found = parity.check(task)
    assert found.holds, found


@pytest.mark.slow
def test_another_start_does_not_pass(course: Course) -> None:
    task = course.task("random", "float32")
    window = parity.taken("bench.ours:train", task.beside("one"))
    start = course.folder / "start" / "adapter_model.safetensors"
    save_file({name: values * np.float32(1.01) for name, values in load_file(start).items()}, start)
    other = parity.taken("bench.ours:train", task.beside("other"))
    assert [step.digest for step in window.steps] == [step.digest for step in other.steps]
    assert (
        max(parity.gap(a.loss, b.loss) for a, b in zip(window.steps, other.steps, strict=True)) > parity.LOSS
    )
