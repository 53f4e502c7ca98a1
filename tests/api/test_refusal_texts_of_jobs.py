"""Section F of the reliability page: jobs that cannot be are refused at once, word for word."""

import pytest
from fastapi.testclient import TestClient

from bad_requests import FILES, JOBS, Bad

GRADER = {
    "type": "string_check",
    "name": "g",
    "input": "{{sample.output_text}}",
    "reference": "{{item.a}}",
    "operation": "eq",
}
UNKNOWN = "The model `{}` does not exist or you do not have access to it."
EPOCHS = "Expected integer 1-50 or 'auto'."
RATE = "Expected a number > 0 and <= 1e+06 or 'auto'."
COMPUTE = "Expected a number > 1e-05 and <= 10 or 'auto'."
EFFORTS = "supported values are 'default', 'low', 'medium' or 'high'."
METHODS = "Invalid value for 'method.type'. Supported values are: 'supervised', 'dpo', 'reinforcement'."
SUFFIX = "suffix may contain letters, digits, - and _, 1 to 64 of them."
PATTERN = r"expected a string that matches ^[^/\x00-\x1f]{1,128}$."
SUFFIXES = (":", "/", "..", "a\n", "$(id)", "{{7*7}}", "<script>", "\U0001f600", "", "a" * 65)
LONG_KEY, LONG_VALUE, MANY = {"k" * 65: "v"}, {"k": "v" * 513}, {str(i): "" for i in range(17)}
WANDB = {"type": "wandb", "wandb": {"project": "p"}}


def job(
    entry: str, param: str, why: str, *, code: str | None = "invalid_value", whole: str = "", **fields: object
) -> Bad:
    """A request for a job that is refused for one of its fields."""
    json = {"model": "afina-tiny", "training_file": "file-x", **fields}
    message = whole or f"Invalid '{param}': {why}"
    return Bad(entry, "POST", JOBS, message, param=param, code=code, json=json)


def typed(entry: str, param: str, expected: str, **fields: object) -> Bad:
    whole = f"Invalid type for '{param}': expected {expected}."
    return job(entry, param, "", code="invalid_type", whole=whole, **fields)


def missing(entry: str, param: str, **fields: object) -> Bad:
    whole = f"Missing required parameter: '{param}'."
    return job(entry, param, "", code="missing_required_parameter", whole=whole, **fields)


def unknown(entry: str, param: str, **fields: object) -> Bad:
    whole = f"Unknown parameter: '{param}'."
    return job(entry, param, "", code="unknown_parameter", whole=whole, **fields)


def number(entry: str, kind: str, name: str, why: str, *values: object) -> list[Bad]:
    """A hyperparameter of a method with each of these values."""
    param, given = (
        f"method.{kind}.hyperparameters.{name}",
        {"grader": GRADER} if kind == "reinforcement" else {},
    )
    methods = [{"type": kind, kind: {**given, "hyperparameters": {name: value}}} for value in values]
    return [job(entry, param, why, method=method) for method in methods]


def wandb(**fields: object) -> list[object]:
    return [{"type": "wandb", "wandb": fields}]


NAMES = [
    *(
        job("F154 F156 F157", "model", "", code="model_not_found", whole=UNKNOWN.format(name), model=name)
        for name in (
            "no",
            "../../x",
            "/etc",
            "org/repo",
            "http://host/model",
            "ft:afina-tiny:other::abcd1234",
        )
    ),
    typed("F154", "model", "a string", model=5),
    job("F154", "model", "expected at least 1 character(s).", model=""),
    typed("F160", "training_file", "a string", training_file=None),
    job("F160", "training_file", "expected at least 1 character(s).", training_file=""),
    job("F160", "training_file", "", code=None, whole="No such File object: file-x"),
]
NUMBERS = [
    *number("F162", "supervised", "n_epochs", EPOCHS, 0, -1, 51, 1.5, "3", True, None),
    job("F162", "hyperparameters.n_epochs", EPOCHS, hyperparameters={"n_epochs": 0}),
    *number("F162", "supervised", "batch_size", "Expected integer 1-256 or 'auto'.", 0, 257),
    *number("F164", "supervised", "learning_rate_multiplier", RATE, 0, -1, 1e308, "fast"),
    *number("F165", "dpo", "beta", "Expected a number > 0 and <= 2 or 'auto'.", 0, 2.01),
    *number("F166", "reinforcement", "compute_multiplier", COMPUTE, 0, 11),
    *number("F167", "reinforcement", "reasoning_effort", EFFORTS, "huge"),
    *number("F167", "reinforcement", "eval_interval", "Expected integer 1-1000000 or 'auto'.", 0),
    *number("F167", "reinforcement", "eval_samples", "Expected integer 1-64 or 'auto'.", 0),
    *(job("F172", "seed", "Expected an integer between 0 and 2147483647.", seed=n) for n in (-1, 2**31)),
    *(typed("F172", "seed", "an integer", seed=seed) for seed in (1.0, "7", True)),
]
METHOD = [
    job("F170", "method.type", "", whole=METHODS, method={"type": "magic"}),
    missing("F170", "method.type", method={}),
    typed("F170", "method", "an object", method="supervised"),
    typed("F170", "method.supervised", "an object", method={"type": "supervised", "supervised": 5}),
    unknown("F170", "method.x", method={"type": "supervised", "x": 1}),
    missing("F171", "method.reinforcement", method={"type": "reinforcement"}),
    missing("F171", "method.reinforcement.grader", method={"type": "reinforcement", "reinforcement": {}}),
]
ABOUT = [
    *(job("F174", "suffix", SUFFIX, suffix=suffix) for suffix in SUFFIXES),
    typed("F174", "suffix", "a string", suffix=5),
    job("F175", "metadata", "metadata may have at most 16 pairs.", metadata=MANY),
    job("F175", "metadata", "metadata keys must have 1 to 64 characters.", metadata=LONG_KEY),
    job("F175", "metadata", "metadata keys must have 1 to 64 characters.", metadata={"__proto__": "v"}),
    job("F175", "metadata", "metadata values may have at most 512 characters.", metadata=LONG_VALUE),
    typed("F175", "metadata.k", "a string", metadata={"k": 1}),
    typed("F175", "metadata", "an object", metadata=[]),
    job("F176", "integrations[0].type", "supported values are 'wandb'.", integrations=[{"type": "mlflow"}]),
    missing("F176", "integrations[0].wandb.project", integrations=wandb()),
    job("F176", "integrations[0].wandb.entity", PATTERN, integrations=wandb(project="p", entity="a/b")),
    job("F176", "integrations[0].wandb.project", PATTERN, integrations=wandb(project="")),
    job("F176", "integrations", "expected at most 5 item(s).", integrations=[WANDB] * 6),
    unknown("F177", "integrations[0].wandb.base_url", integrations=wandb(project="p", base_url="http://x")),
    *(
        unknown("F181", name, **{name: "x"})
        for name in ("output_dir", "trust_remote_code", "deepspeed", "resume_from_checkpoint")
    ),
    *(unknown("F182", name, **{name: "x"}) for name in ("status", "organization_id", "project_id")),
]


@pytest.mark.parametrize("bad", [*NAMES, *NUMBERS, *METHOD, *ABOUT], ids=lambda bad: bad.entry)
def test_the_whole_error(refusing: TestClient, bad: Bad):
    bad.check(refusing)
    assert refusing.get(JOBS).json()["data"] == []


def test_a_validation_file_that_is_not_there(refusing: TestClient):
    good = refusing.get(FILES).json()["data"][0]["id"]
    whole = "No such File object: file-x"
    job(
        "F160", "validation_file", "", code=None, whole=whole, training_file=good, validation_file="file-x"
    ).check(refusing)
