"""Three arms to a table and verdicts."""

from afina.evals.compare import Arm, ArmName, Case, Likelihood, Reply, compare

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


def test_better_is_said_only_where_intervals_are_apart():
    found = compare(CASES, [BASE, PROMPTED, TUNED], HEADINGS).verdicts
    outcomes = {(one.against, one.metric): one.outcome for one in found}
    assert outcomes == {
        ("base", "loss"): "better",
        ("base", "token_accuracy"): "better",
        ("base", "rouge_l"): "better",
        ("base", "all_parts"): "better",
        ("base", "term_overlap"): "better",
        ("prompted", "loss"): "not_shown",
        ("prompted", "token_accuracy"): "better",
        ("prompted", "rouge_l"): "better",
        ("prompted", "all_parts"): "better",
        ("prompted", "term_overlap"): "not_shown",
    }
    losses = {one.against: one.difference for one in found if one.metric == "loss"}
    assert losses["prompted"].high < 0 and round(losses["base"].value, 2) == -3.0


def test_what_got_worse_is_said():
    found = compare(CASES, [TUNED, BASE]).verdicts
    assert {one.metric: one.outcome for one in found} == dict.fromkeys(
        ("loss", "token_accuracy", "rouge_l", "term_overlap"), "worse"
    )


def test_without_headings_there_are_no_parts_and_without_terms_no_overlap():
    plain = [Case("What is it?", case.reference) for case in CASES]
    metrics = [row.metric for row in compare(plain, [BASE, TUNED]).rows]
    assert metrics == ["loss", "token_accuracy", "rouge_l"]
    mixed = [*plain[:39], CASES[39]]
    (row,) = [row for row in compare(mixed, [BASE, TUNED]).rows if row.metric == "term_overlap"]
    assert [one.value for one in row.figures] == [0.0, 1.0]
