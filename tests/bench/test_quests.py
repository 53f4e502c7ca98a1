"""What the two sides of `grpo` are given, and what is kept of what ours has said."""

from pathlib import Path

import numpy as np
from bench.quests import WANTED, Quest
from bench.recipe import Task, recipe
from bench.replies import Reply
from bench.rows import FIRST_ID

import afina.base
from afina.training.rollouts import Questions
from bench import quests, replies

QUEST = Quest(prompts=2, prompt=5, replies=3, reply=4)


def test_prompts_are_of_one_length_and_want_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "tokens.safetensors"
    quests.store(path, QUEST, steps=3, vocabulary=100, seed=1)
    questions = Questions(str(path))
    prompts = [questions.prompt(number) for number in range(len(questions))]
    assert [len(prompt) for prompt in prompts] == [5] * 6
    assert all(FIRST_ID <= id < 100 for prompt in prompts for id in prompt)
    assert questions.items == [{WANTED: QUEST.mark}] * 6


def test_nothing_is_looked_at_before_the_end() -> None:
    trials = QUEST.trials
    assert (trials.group_size, trials.max_tokens) == (3, 4)
    assert trials.eval_interval == quests.NEVER


def test_a_peer_reads_each_prompt_with_each_reply_and_we_read_it_once() -> None:
    said = [Reply([7, 8], [1], [-1.0]), Reply([7, 8], [2, 3], [-1.0, -2.0])]
    found = replies.tokens_of(said)
    assert found.ids.tolist() == [7, 8, 1, 7, 8, 2, 3]
    assert np.flatnonzero(found.supervised).tolist() == [2, 5, 6]
    assert found.computed == 5


def test_what_was_said_is_read_in_the_folder_beside(tmp_path: Path) -> None:
    base = afina.base.path()
    task = Task(recipe(tmp_path, base, batch=1, dtype="float32", threads=1), base)
    said = [[Reply([7], [1], [-0.5])], [Reply([8], [2], [-0.25])]]
    ours, peer = task.beside(replies.OURS), task.beside("peer")
    assert replies.kept(peer) == []
    Path(ours.spec.folder).mkdir(parents=True)
    for step in said:
        replies.keep(ours, step)
    assert replies.kept(peer) == said
