"""Which rows make up which step, and that both sides are told the same."""

from pathlib import Path

import pytest
from bench.recipe import SEED
from bench.rows import Row, Talk

from afina.data.tokens import TokenFile
from bench import rows


@pytest.fixture
def drawn() -> list[Row]:
    return rows.draw(Talk(), 512, vocabulary=8192, seed=1)


def test_lengths_are_those_of_chats(drawn: list[Row]) -> None:
    lengths = sorted(len(row.ids) for row in drawn)
    assert 160 <= lengths[256] <= 200
    assert 550 <= lengths[486] <= 850
    assert lengths[-1] <= Talk().longest


def test_a_third_of_each_row_is_supervised_and_ends_it(drawn: list[Row]) -> None:
    for row in drawn:
        answer = sum(row.weights)
        assert row.weights == [0] * (len(row.ids) - answer) + [1] * answer
        assert answer == max(1, round(0.35 * len(row.ids)))


def test_the_same_seed_draws_the_same_rows(drawn: list[Row]) -> None:
    assert rows.draw(Talk(), 512, vocabulary=8192, seed=1) == drawn
    assert rows.draw(Talk(), 512, vocabulary=8192, seed=2) != drawn


def test_no_prefix_is_shared_unless_it_was_asked_for(drawn: list[Row]) -> None:
    assert len({tuple(row.ids[:2]) for row in drawn}) > 500
    shared = rows.draw(Talk(shared=50), 8, vocabulary=8192, seed=1)
    assert len({tuple(row.ids[:50]) for row in shared}) == 1
    assert len({tuple(row.ids[:51]) for row in shared}) == 8


def test_a_pair_is_a_silent_prompt_and_two_answers() -> None:
    pairs = rows.Duel().examples(64, vocabulary=8192, seed=1)
    assert rows.Duel().examples(64, vocabulary=8192, seed=1) == pairs
    for pair in pairs:
        prompt, *answers = rows.parts(pair)
        assert not any(prompt.weights) and answers[0] != answers[1]
        assert all(all(answer.weights) for answer in answers)
    ordered = [rows.length(pair) for pair in rows.by_length(pairs, 4, 3)]
    assert max(ordered[:4]) <= min(ordered[4:8]) and max(ordered[4:8]) <= min(ordered[8:])


def test_sorting_leaves_almost_no_padding(drawn: list[Row]) -> None:
    arranged = rows.by_length(drawn, 16, 32)
    groups = [arranged[i : i + 16] for i in range(0, len(arranged), 16)]
    padded = sum(16 * max(len(row.ids) for row in group) for group in groups)
    assert len(groups) == 32
    assert padded / sum(len(row.ids) for row in arranged) < 1.1


def test_each_three_sorted_steps_have_a_short_and_a_long_one(drawn: list[Row]) -> None:
    arranged = rows.by_length(drawn, 16, 30)
    means = [sum(len(row.ids) for row in arranged[i : i + 16]) / 16 for i in range(0, len(arranged), 16)]
    for i in range(0, 30, 3):
        assert means[i] < means[i + 1] < means[i + 2]


def test_our_shuffle_finds_the_rows_in_the_order_given(tmp_path: Path, drawn: list[Row]) -> None:
    path = tmp_path / "tokens.safetensors"
    data = rows.store(path, drawn[:12], seed=SEED)
    order = rows.epoch_order(12, seed=SEED, epoch=0)
    assert [TokenFile.open(path)[place][0].tolist() for place in order] == [row.ids for row in drawn[:12]]
    assert len(data) == 12


def test_nothing_predicts_the_first_token(tmp_path: Path) -> None:
    data = rows.store(tmp_path / "tokens", [Row([5, 6, 7], [1, 0, 1]), Row([8, 9], [1, 1])], seed=SEED)
    one, other = (rows.tokens_of(data, [row]) for row in (0, 1))
    assert sorted([one.supervised.tolist(), other.supervised.tolist()]) == [
        [False, False, True],
        [False, True],
    ]


def test_a_digest_tells_order_and_supervision_apart(tmp_path: Path) -> None:
    data = rows.store(tmp_path / "tokens", [Row([5, 6, 7], [0, 0, 1]), Row([5, 6, 7], [0, 1, 1])], seed=SEED)
    assert rows.tokens_of(data, [0]).digest != rows.tokens_of(data, [1]).digest
    assert rows.tokens_of(data, [0, 1]).digest != rows.tokens_of(data, [1, 0]).digest
