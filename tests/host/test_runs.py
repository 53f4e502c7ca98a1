"""Runs start and stop over HTTP, share the engine, and leave a last word unless the machine is at fault."""

import asyncio
import errno
from pathlib import Path

import pytest

from afina.data import tokens
from afina.data.render import Rendered
from afina.engine.fake import FakeEngine
from afina.errors import InvalidRequest
from afina.schemas.runs import Failed, Finished, LoraSpec, RunSpec, Started, Stopped, run_event


@pytest.fixture
def new_run(tmp_path):
    """A run's folder with its spec: so many steps over rows of five tokens."""

    def make(job: str = "ftjob-a", fence: int = 1, *, steps: int = 4, **fields) -> Path:
        folder = tmp_path / "runs" / job / str(fence)
        folder.mkdir(parents=True)
        rows = [[Rendered([i, 40, 20, 30, 2], [0, 0, 1, 1, 1])] for i in range(2)]
        tokens.write(tmp_path / "tokens.safetensors", rows, max_length=64)
        spec = RunSpec(
            job=job,
            fence=fence,
            folder=str(folder),
            method="supervised",
            base="tiny",
            training_tokens=str(tmp_path / "tokens.safetensors"),
            validation_tokens=None,
            start=None,
            resume=None,
            seed=5,
            n_epochs=steps,
            batch_size=2,
            learning_rate=0.01,
            warmup_steps=0,
            weight_decay=0.0,
            max_grad_norm=1.0,
            lora=LoraSpec(rank=2, alpha=4.0),
            token_budget=256,
            validate_every=2,
            dtype="float32",
            threads=1,
        )
        (folder / "spec.json").write_text(spec.model_copy(update=fields).model_dump_json())
        return folder

    return make


def said(folder: Path):
    events = folder / "events.jsonl"
    return (
        [run_event.validate_json(line) for line in events.read_bytes().splitlines()]
        if events.exists()
        else []
    )


async def start(host, folder: Path) -> int:
    return (await host.client.post("/runs", json={"spec": str(folder / "spec.json")})).status_code


async def names(host):
    return (await host.client.get("/health")).json()["runs"]


async def test_two_runs_and_a_chat_share_the_real_engine(serve, new_run, until):
    async with serve() as host:
        one, two = new_run("ftjob-a"), new_run("ftjob-b")
        assert [await start(host, one), await start(host, two)] == [200, 200]
        order = {"model": "tiny", "prompt": [1, 2, 3], "max_tokens": 4}
        assert (await host.client.post("/v1/completions", json=order)).status_code == 200
        await until(lambda: not host.rooms.runs.tasks)
        for folder in (one, two):
            assert said(folder)[0] == Started(step=0, total_steps=4)
            assert said(folder)[-1] == Finished(step=4, path="final")
        # The same data and seed: beside each other as alone.
        assert (one / "final/adapter_model.safetensors").read_bytes() == (
            two / "final/adapter_model.safetensors"
        ).read_bytes()
        assert host.engine.adapters == ()


async def test_a_run_that_is_told_to_stop_ends_behind_a_resume_point(serve, new_run, until):
    engine = FakeEngine()
    async with serve(engine) as host:
        folder = new_run(steps=100_000)
        await start(host, folder)
        assert await names(host) == ["ftjob-a.1"]
        await until(lambda: len(said(folder)) > 3)
        assert (await host.client.post("/runs/ftjob-a.1/stop", json={})).status_code == 200
        await until(lambda: not host.rooms.runs.tasks)
        last = said(folder)[-1]
        assert isinstance(last, Stopped)
        assert (folder / "resume" / f"step-{last.step:08d}" / "resume.json").exists()
        assert engine.adapters == ()


async def test_closing_the_host_stops_its_runs(serve, new_run, until):
    folder = new_run(steps=100_000)
    async with serve(FakeEngine()) as host:
        await start(host, folder)
        await until(lambda: len(said(folder)) > 3)
    assert isinstance(said(folder)[-1], Stopped)


async def test_stopping_a_run_that_is_not_here_does_nothing(serve):
    async with serve(FakeEngine()) as host:
        assert (await host.client.post("/runs/ftjob-a.1/stop", json={})).status_code == 200


async def test_a_run_is_started_once_and_its_successor_does_not_wait_for_it(serve, new_run, until):
    engine = FakeEngine()
    async with serve(engine) as host:
        old, new = new_run(fence=1, steps=100_000), new_run(fence=2)
        assert [await start(host, old), await start(host, old), await start(host, new)] == [200, 200, 200]
        assert engine.calls.count(("create_adapter", "ftjob-a.1")) == 1
        await until(lambda: bool(said(new)) and isinstance(said(new)[-1], Finished))
        assert await names(host) == ["ftjob-a.1"]
        assert not any(isinstance(event, Stopped) for event in said(old))


async def test_a_damaged_resume_point_is_refused(serve, new_run, tmp_path):
    async with serve(FakeEngine()) as host:
        assert await start(host, new_run(resume=str(tmp_path / "nowhere"))) == 400
        assert await names(host) == []


async def test_a_run_that_fails_says_why_and_the_others_go_on(serve, new_run, until, tmp_path):
    async with serve(FakeEngine()) as host:
        broken = new_run("ftjob-b", start=str(tmp_path / "nowhere"))
        sound = new_run("ftjob-a", steps=10)
        assert [await start(host, sound), await start(host, broken)] == [200, 200]
        await until(lambda: not host.rooms.runs.tasks)
        assert isinstance(said(broken)[-1], Failed)
        assert isinstance(said(sound)[-1], Finished)


class Breaking(FakeEngine):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    async def optim_step(self, adapter, params):
        raise self.error


async def test_an_error_that_nobody_expected_does_not_tell_its_text(serve, new_run, until):
    async with serve(Breaking(RuntimeError("patient 4711"))) as host:
        folder = new_run()
        await start(host, folder)
        await until(lambda: not host.rooms.runs.tasks)
        last = said(folder)[-1]
        assert isinstance(last, Failed)
        assert (last.code, "4711" in last.message, "RuntimeError" in last.message) == (
            "server_error",
            False,
            True,
        )


async def test_an_error_of_ours_is_told_as_it_is(serve, new_run, until):
    async with serve(Breaking(InvalidRequest("too long", code="context_length_exceeded"))) as host:
        folder = new_run()
        await start(host, folder)
        await until(lambda: not host.rooms.runs.tasks)
        assert said(folder)[-1] == Failed(code="context_length_exceeded", message="too long")


async def test_a_full_disk_is_not_the_runs_fault(serve, new_run, until):
    """No last word, and no longer listed: its worker will take it up again."""
    engine = Breaking(OSError(errno.ENOSPC, "No space left on device"))
    async with serve(engine) as host:
        folder = new_run()
        await start(host, folder)
        await until(lambda: not host.rooms.runs.tasks)
        assert [event.kind for event in said(folder)] == ["started"]
        assert (await names(host), engine.adapters) == ([], ())


async def test_runs_take_turns(serve, new_run, until):
    """Neither of two long runs waits for the other to end."""
    engine = FakeEngine()
    async with serve(engine) as host:
        await asyncio.gather(*(start(host, new_run(job, steps=20)) for job in ("ftjob-a", "ftjob-b")))
        await until(lambda: not host.rooms.runs.tasks)
    steps = [adapter for verb, adapter in engine.calls if verb == "optim_step"]
    assert len(set(steps[:20])) == 2
