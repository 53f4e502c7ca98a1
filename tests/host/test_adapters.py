"""Adapters stay while they are used, make room when they are not, and are loaded once however many ask."""

import asyncio
from pathlib import Path

import pytest

from afina.engine.fake import FakeEngine
from afina.errors import InvalidRequest, NotFound
from afina.host.adapters import Adapters


class Slow(FakeEngine):
    """Loading takes a while, as it does with a device that is busy."""

    async def create_adapter(self, adapter, spec, start=None):
        await asyncio.sleep(0)
        await super().create_adapter(adapter, spec, start)


@pytest.fixture
async def folder(new_adapter) -> Path:
    return await new_adapter(FakeEngine())


@pytest.fixture
def adapters() -> Adapters:
    return Adapters(Slow(), most=2)


async def test_a_loaded_adapter_answers(adapters, folder):
    await adapters.load("a", folder)
    async with adapters.using("a"):
        assert adapters.engine.adapters == ("a",)


async def test_an_adapter_that_was_not_loaded_does_not(adapters):
    with pytest.raises(NotFound) as refused:
        async with adapters.using("a"):
            pass
    assert refused.value.code == "model_not_found"


async def test_many_who_load_the_same_at_once_load_it_once(adapters, folder):
    await asyncio.gather(*(adapters.load("a", folder) for _ in range(8)))
    assert adapters.engine.calls == [("create_adapter", "a")]


async def test_a_folder_that_is_no_adapter_is_refused_and_not_listed(adapters, tmp_path):
    with pytest.raises(InvalidRequest):
        await adapters.load("a", tmp_path / "nowhere")
    assert list(adapters.users) == []


async def test_the_least_recently_used_makes_room(adapters, folder):
    await adapters.load("a", folder)
    await adapters.load("b", folder)
    async with adapters.using("a"):
        pass
    await adapters.load("c", folder)
    assert adapters.engine.adapters == ("a", "c")
    await adapters.load("a", folder)  # loading again is a use, too
    await adapters.load("d", folder)
    assert adapters.engine.adapters == ("a", "d")


async def test_adapters_in_use_stay_even_where_they_are_too_many(adapters, folder):
    await adapters.load("a", folder)
    await adapters.load("b", folder)
    async with adapters.using("a"), adapters.using("b"):
        await adapters.load("c", folder)
        assert adapters.engine.adapters == ("a", "b", "c")
        await adapters.load("d", folder)
        assert adapters.engine.adapters == ("a", "b", "d")
    await adapters.load("e", folder)
    assert len(adapters.engine.adapters) == 2


async def test_unloading_waits_for_the_last_request(adapters, folder):
    await adapters.load("a", folder)
    async with adapters.using("a"):
        async with adapters.using("a"):
            await adapters.unload("a")
            assert adapters.engine.adapters == ("a",)
        with pytest.raises(NotFound):
            async with adapters.using("a"):
                pass
        assert adapters.engine.adapters == ("a",)
    assert adapters.engine.adapters == ()


async def test_an_adapter_that_is_wanted_again_while_it_leaves_stays(adapters, folder):
    await adapters.load("a", folder)
    async with adapters.using("a"):
        await adapters.unload("a")
        await adapters.load("a", folder)
    async with adapters.using("a"):
        assert adapters.engine.adapters == ("a",)


async def test_unloading_what_is_not_there_does_nothing(adapters):
    await adapters.unload("a")
    assert adapters.engine.calls == []
