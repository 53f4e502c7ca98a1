"""Advantages within a group, and what is counted of graded replies."""

import pytest

from afina.data import tokens
from afina.data.jsonl import Line
from afina.data.render import Rendered
from afina.graders.grade import Grade
from afina.schemas.graders import GraderErrors, GraderTokens, MultiGrader, StringCheckGrader
from afina.training import items, rewards
from afina.training.rewards import Graded, Tally, advantages, names
from afina.training.rollouts import Questions, Rollout

PART = StringCheckGrader(type="string_check", name="s", input="a", reference="b", operation="eq")
MULTI = MultiGrader(type="multi", graders={"x": PART, "y": PART}, calculate_output="x + y")


def graded(reward, *, ids=(1, 2), sub=None, **flags):
    rollout = Rollout(0, (5, 6, 7), tuple(ids), (-1.0,) * len(ids), "text")
    return Graded(rollout, Grade(reward, 0.5, GraderErrors(**flags), sub_rewards=sub or {}))


@pytest.mark.parametrize(
    "rewards", [[0.1] * 3, [0.0] * 8, [1.0] * 7, [1e300] * 4, [0.3], [], [None] * 4, [None, 2.0]]
)
def test_equal_rewards_have_no_advantage_at_all(rewards):
    assert advantages(rewards) == [0.0] * len(rewards)


def test_an_advantage_is_a_distance_from_the_mean_in_deviations():
    found = advantages([1.0, 0.0, 0.0, 1.0])
    assert found == pytest.approx([0.866, -0.866, -0.866, 0.866], abs=1e-3)
    assert sum(advantages([3.0, -1.0, 2.5])) == pytest.approx(0, abs=1e-9)


def test_a_reply_without_a_reward_is_compared_with_nobody():
    assert advantages([1.0, None, 0.0]) == pytest.approx([0.707, 0.0, -0.707], abs=1e-3)


def test_means_leave_out_what_has_no_reward():
    tally = Tally([graded(1.0), graded(0.0), graded(None, python_grader_runtime_error=True)])
    assert (tally.mean_reward, tally.failed, tally.mean_parse_error) == (0.5, 1, 0.0)
    assert (tally.prompt_tokens, tally.completion_tokens, tally.seconds) == (9, 6, 0.5)
    assert Tally([graded(None, other_error=True)]).mean_reward is None


def test_a_reply_that_is_no_json_earns_zero_and_is_no_failure():
    tally = Tally([graded(None, sample_parse_error=True), graded(1.0)])
    assert (tally.mean_reward, tally.failed, tally.mean_parse_error) == (0.5, 0, 0.5)


def test_a_reply_that_is_no_json_does_not_excuse_the_grader():
    tally = Tally([graded(None, sample_parse_error=True, python_grader_runtime_error=True)])
    assert (tally.failed, tally.mean_parse_error) == (1, 0.0)


def test_parts_of_a_grader_are_counted_apart():
    tally = Tally([graded(3.0, sub={"x": 1.0, "y": 2.0}), graded(None, sub={"x": 0.0}, other_error=True)])
    assert names(MULTI) == ["x", "y"] and names(PART) == ["s"]
    assert [tally.mean_of(MULTI, name) for name in "xy"] == [0.5, 2.0]
    assert [tally.failures_of(MULTI, name) for name in "xy"] == [0, 1]
    assert (tally.mean_of(PART, "s"), tally.failures_of(PART, "s")) == (3.0, 1)


def test_tokens_of_judges_are_added_up():
    from afina.graders.judges import Said

    said = Said("4", "judge", GraderTokens(prompt_tokens=3, completion_tokens=2))
    one = Graded(graded(1.0).rollout, Grade(1.0, 0.1, said=(said,)))
    assert Tally([one, one]).judges == {"judge": GraderTokens(prompt_tokens=6, completion_tokens=4)}


async def test_equal_replies_to_a_question_are_graded_once(tmp_path):
    asked = []

    async def judge(text, item):
        asked.append((text, item["n"]))
        return Grade(float(len(asked)), 0.5)

    groups = [[replied(0, "a"), replied(0, "b"), replied(0, "a")], [replied(1, "a"), replied(1, "a")]]
    found = await rewards.graded(groups, questions(tmp_path), judge)
    assert asked == [("a", 0), ("b", 0), ("a", 1)]
    assert [[one.reward for one in group] for group in found] == [[1.0, 2.0, 1.0], [3.0, 3.0]]
    assert [one.rollout for group in found for one in group] == [one for group in groups for one in group]
    assert sum(one.grade.seconds for group in found for one in group) == 1.5


def replied(question, text):
    return Rollout(question, (5,), (6,), (-1.0,), text)


def questions(folder):
    """Two of them, whose items have their numbers."""
    path = folder / "prompts.safetensors"
    tokens.write(path, [[Rendered([5], [0])]] * 2, max_length=8, format="reinforcement")
    items.write(items.beside(path), [Line(n + 1, {"messages": [], "n": n}) for n in range(2)])
    return Questions(str(path))
