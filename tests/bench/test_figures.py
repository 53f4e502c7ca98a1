"""The keys that each bench promises, made of rounds as the legs would report them."""

from typing import get_args

import pytest
from bench.contest import Opponents
from bench.flops import Lengths
from bench.jobs import Work
from bench.pace import Step, Window
from bench.pairs import Round, Sample
from bench.parity import Parity
from bench.requests import Sampled
from bench.roofline import Reading
from bench.shapes import SMALL, TINY
from bench.variants import CANDIDATES, DEFAULT, Dtype, best

from bench import contest, flops, grpo, jobs, roofline, serve

GATE = Parity(True, 0.0, 1.0, 0.0, "a")


def rounds(
    ours: list[float], peer: list[float], *, loss: float = 1.0, digest: str = "d"
) -> list[Round[Window]]:
    """One step a turn; the peer needs twice our memory."""
    return [
        {
            "ours": Sample(Window((Step(a, 1.0, "d"),), 10, 10, peak=100), 0.0),
            "peer": Sample(Window((Step(b, loss, digest),), 10, 15, peak=200), 0.0),
        }
        for a, b in zip(ours, peer, strict=True)
    ]


def match(peer: float, dtype: Dtype = "float32", **different: float | str) -> contest.Match:
    found = rounds([1.0, 1.0, 1.0], [peer, peer, peer + 1], **different)
    return contest.judged(found, Opponents(dtype, DEFAULT, share=1.0))


def test_the_worse_precision_counts() -> None:
    found = contest.figures(
        GATE, {"default": match(6), "best_float32": match(4), "best_bfloat16": match(3, "bfloat16")}
    )
    assert found["parity"] is True
    assert (found["ratio_default"], found["ratio_best"], found["ratio_best_q1"]) == (6, 3, 3)
    assert found["memory_ratio_best"] == 0.5


def test_padding_is_counted_on_the_peers_side_alone() -> None:
    assert match(2).facts["padding_peer"] == 1.5
    assert match(2).facts["tokens"] == 10


@pytest.mark.parametrize("different", [{"loss": 1.01}, {"digest": "another"}, {"loss": float("nan")}])
def test_timed_steps_that_differ_give_no_ratio(different: dict[str, float | str]) -> None:
    broken = match(4, **different)
    found = contest.figures(GATE, {"default": match(6), "best_float32": broken, "best_bfloat16": match(3)})
    assert found["parity"] is False
    assert not [key for key in found if "ratio" in key]


def test_ids_must_be_equal_in_every_round() -> None:
    def answered(**ids: int) -> Round[Sampled]:
        legs = ("ours", "generate", "ours_8", "peft_loop")
        return {leg: Sample(Sampled(1.0, ((ids.get(leg, 7),),), 1), 0.0) for leg in legs}

    assert serve.Served([answered()], rows=64).equal
    assert serve.Served([answered(ours=8, generate=8)], rows=64).equal
    assert not serve.Served([answered(), answered(peft_loop=8)], rows=64).equal
    assert serve.Served([answered()], rows=64).comparisons.keys() == serve.RATIOS.keys()


def test_jobs_are_compared_with_both_and_with_their_solo_runs() -> None:
    losses, solo = [[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0003]]
    one = {
        "together": Sample(Work(2.0, losses), 0.0),
        "one_by_one": Sample(Work(3.0, solo), 0.0),
        "trl": Sample(Work(8.0, losses), 0.0),
    }
    found = jobs.judged([one] * 3, 0.0).figures
    assert (found["ratio_default"], found["ratio_own_sequential"]) == (4.0, 1.5)
    assert found["loss_gap"] == pytest.approx(1e-4, rel=1e-2)


def tried(ours: float, peer: float, *, real: int = 10) -> Round[Window]:
    """A turn in which half of the time went into sampling, and on the peer's side a quarter."""
    legs = {"ours": (ours, ours / 2, 10), "default": (peer, peer / 4, real), "best": (peer - 1, peer / 4, 10)}
    return {
        name: Sample(Window((Step(seconds, 0.0, "d", sampling),), count, 10, peak=100), 0.0)
        for name, (seconds, sampling, count) in legs.items()
    }


def test_whole_steps_and_updates_are_compared_apart() -> None:
    found = grpo.figures(GATE, [tried(2.0, 8.0)] * 3)
    assert (found["ratio_default"], found["ratio_update"]) == (4.0, 6.0)
    assert (found["ratio_best"], found["ratio_update_best"]) == (3.5, 5.0)


def test_a_side_that_reads_or_writes_more_gives_no_ratio() -> None:
    found = grpo.figures(GATE, [tried(2.0, 8.0), tried(2.0, 8.0, real=11)])
    assert found["parity"] is False
    assert not [key for key in found if "ratio" in key]


def test_every_job_takes_forty_whole_steps_and_differs() -> None:
    for kind in jobs.KINDS:
        assert kind.rows % kind.batch == 0
        assert kind.rows // kind.batch * kind.epochs >= 40
    assert len(set(jobs.KINDS)) == len(jobs.KINDS)


def test_the_fraction_is_of_the_best_product() -> None:
    readings = [Reading(50.0, {"a": 80.0, "b": 100.0}, 0.0), Reading(60.0, {"a": 90.0, "b": 95.0}, 0.0)] * 2
    assert roofline.judged(readings)["fraction"] == pytest.approx(0.55)


def test_a_disturbed_reading_does_not_count() -> None:
    readings = [Reading(50.0, {"a": 100.0}, 0.0)] * 3 + [Reading(5.0, {"a": 200.0}, 0.9)]
    found = roofline.judged(readings)
    assert (found["fraction"], found["noisy"]) == (0.5, False)


def test_operations_are_counted_once() -> None:
    """135M: about 483 million a token and 113 million a supervised one, as a count by hand has it."""
    none = flops.step(SMALL, 16, [Lengths(200, 0)]) / 200
    assert 440e6 < none < 520e6
    head = flops.step(SMALL, 16, [Lengths(200, 1)]) - flops.step(SMALL, 16, [Lengths(200, 0)])
    assert head == 4 * 576 * 49152
    assert len(flops.linears(TINY)) == 7


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_a_peer_has_a_best_way_without_a_sweep(dtype: Dtype) -> None:
    chosen = best("a shape that nobody has swept", dtype)
    assert chosen.variant in CANDIDATES and chosen.variant.dtype == dtype
    assert not chosen.variant.checkpointing
