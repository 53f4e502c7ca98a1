"""Three arms to a table and verdicts."""

from dataclasses import replace

import numpy as np

from afina.evals.compare import Arm, ArmName, Case, Likelihood, Reply, compare, measure, verdict

CASES = [Case(f"What is subject{n}?", f"Subject{n} is a long known condition.") for n in range(40)]
HEADINGS = ("In short:",)


def arm(name: ArmName, answer: str, loss: float, correct: int) -> Arm:
    replies = tuple(Reply(answer.format(n=n), 20 + n) for n in range(40))
    return Arm(name, replies, tuple(Likelihood(10, loss + n / 100, correct + n % 2) for n in range(40)))


BASE = arm("base", "Nothing much.", 5.0, 2)
PROMPTED = arm("prompted", "Nothing on subject{n}.", 2.05, 2)
TUNED = arm("tuned", "In short: subject{n} is a known condition.", 2.0, 7)


def test_every_metric_has_a_figure_for_every_arm():
    found = compare(CASES, [BASE, PROMPTED, TUNED], HEADINGS)
    figures = {row.metric: [round(one.value, 3) for one in row.figures] for row in found.rows}
    assert figures["loss"] == [5.195, 2.245, 2.195]
    assert figures["token_accuracy"] == [0.25, 0.25, 0.75]
    assert figures["all_parts"] == [0.0, 0.0, 1.0]
    assert figures["term_overlap"] == [0.0, 1.0, 1.0]
    assert figures["rouge_l"][2] > figures["rouge_l"][1] > figures["rouge_l"][0] == 0.0
    assert BASE.prompt_tokens == 39.5


def test_better_is_said_only_where_the_paired_difference_leaves_zero_out():
    found = compare(CASES, [BASE, PROMPTED, TUNED], HEADINGS)
    outcomes = {(one.against, one.metric): one.outcome for one in found.verdicts}
    assert {metric for (against, metric), outcome in outcomes.items() if outcome != "better"} == {
        "term_overlap",
        "cohesion",
    }
    assert (
        outcomes["base", "term_overlap"] == "better" and outcomes["prompted", "term_overlap"] == "not_shown"
    )
    losses = {one.against: one.difference for one in found.verdicts if one.metric == "loss"}
    assert losses["prompted"].high < 0 and round(losses["base"].value, 2) == -3.0
    assert not found.prompting_is_enough


def test_wins_are_counted_and_ties_are_half():
    found = {one.metric: one.duels for one in compare(CASES, [PROMPTED, TUNED], HEADINGS).verdicts}
    assert (found["loss"].wins, found["loss"].ties, found["loss"].win_rate) == (40, 0, 1.0)
    assert (found["term_overlap"].ties, found["term_overlap"].win_rate) == (40, 0.5)
    assert compare(CASES, [TUNED, PROMPTED]).verdicts[0].duels.losses == 40


def test_prompting_is_enough_where_tuning_shows_no_gain_over_it():
    same = replace(PROMPTED, name="tuned")
    found = compare(CASES, [BASE, PROMPTED, same])
    assert found.prompting_is_enough
    assert {one.outcome for one in found.verdicts if one.against == "prompted"} == {"not_shown"}
    worse = replace(BASE, name="tuned")
    assert compare(CASES, [BASE, PROMPTED, worse]).prompting_is_enough


def test_grades_are_compared_on_the_answers_that_both_have():
    def graded(of: Arm, *grades: float | None) -> Arm:
        return replace(of, grades={"relevance": grades + (3.0,) * (40 - len(grades))})

    found = compare(CASES, [graded(BASE, 1.0, None, 5.0), graded(TUNED, 2.0, 5.0, None)])
    (row,) = [row for row in found.rows if row.metric.startswith("judged")]
    assert [round(one.value * 39) for one in row.figures] == [1 + 5 + 37 * 3, 2 + 5 + 37 * 3]
    (one,) = [one for one in found.verdicts if one.metric == "judged_relevance"]
    assert (one.duels.wins, one.duels.ties, one.duels.losses, one.outcome) == (1, 37, 0, "not_shown")
    assert [row.metric for row in compare(CASES, [graded(BASE, 1.0), TUNED]).rows][-1] == "cohesion"


def test_two_arms_that_are_alike_are_called_so_in_about_95_of_100():
    """Answers that differ from case to case, and between the arms by chance alone."""
    generator = np.random.default_rng(7)
    called = 0
    for _ in range(200):
        hard = generator.normal(3.0, 1.0, (1, 60))
        one, other = np.abs(hard + generator.normal(0.0, 0.5, (2, 60)))
        arms = [
            replace(each, likelihoods=tuple(Likelihood(10, float(loss), 1) for loss in losses))
            for each, losses in ((PROMPTED, one), (TUNED, other))
        ]
        measured = [measure("loss", CASES, arm, ()) for arm in arms]
        called += verdict("loss", "prompted", measured[1], measured[0]).outcome == "not_shown"
    assert 180 <= called <= 198


WORDS = ["condition", "known", "long", "subject", "treatment", "cause", "sign", "dose", "course", "risk"]


def by_chance(name: ArmName, random: np.random.Generator, hard: np.ndarray) -> Arm:
    """Answers of random words and likelihoods around each case's own: any two arms made so are alike."""
    texts = (" ".join(random.choice(WORDS, 6)) + "." for _ in hard)
    found = (Likelihood(10, max(0.1, h + random.normal(0, 0.5)), int(random.integers(0, 11))) for h in hard)
    return Arm(name, tuple(Reply(text.capitalize(), 9) for text in texts), tuple(found))


def test_a_pair_that_is_alike_is_called_so_in_all_metrics_at_once_in_95_of_100():
    random = np.random.default_rng(3)
    cases = [Case(f"What {a} has {b}?", f"A {a} and a {b}.") for a in WORDS[:5] for b in WORDS[5:]]
    called = enough = 0
    for _ in range(100):
        hard = random.normal(3.0, 1.0, len(cases))
        found = compare(cases, [by_chance("prompted", random, hard), by_chance("tuned", random, hard)])
        assert len(found.verdicts) >= 6
        called += all(one.outcome == "not_shown" for one in found.verdicts)
        enough += found.prompting_is_enough
    assert called >= 95
    assert enough >= 95


def test_a_gain_in_one_metric_of_many_is_still_seen():
    better = replace(PROMPTED, name="tuned", likelihoods=TUNED.likelihoods)
    found = compare(CASES, [BASE, PROMPTED, better])
    assert not found.prompting_is_enough


def test_what_got_worse_is_said():
    found = compare(CASES, [TUNED, BASE]).verdicts
    assert {one.metric: one.outcome for one in found} == {
        **dict.fromkeys(("loss", "token_accuracy", "rouge_l", "term_overlap", "coverage"), "worse"),
        "cohesion": "not_shown",
    }


def test_without_headings_there_are_no_parts_and_without_terms_no_overlap():
    plain = [Case("What is it?", case.reference) for case in CASES]
    metrics = [row.metric for row in compare(plain, [BASE, TUNED]).rows]
    assert metrics == ["loss", "token_accuracy", "rouge_l", "coverage", "cohesion"]
    mixed = [*plain[:39], CASES[39]]
    (row,) = [row for row in compare(mixed, [BASE, TUNED]).rows if row.metric == "term_overlap"]
    assert [one.value for one in row.figures] == [0.0, 1.0]
