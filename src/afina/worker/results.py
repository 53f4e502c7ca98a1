"""The result file of a job: one row a step, as the base64 text of a CSV."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping

REWARD_COLUMNS = ("step", "train_mean_reward", "full_valid_mean_reward")
COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def result_file(metrics: Iterable[Mapping[str, object]]) -> bytes:
    """Base64 of the CSV, as OpenAI serves it; `metrics` are the data of the metrics events, by step."""
    rows = list(metrics)
    rewarded = any(REWARD_COLUMNS[1] in data for data in rows)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(REWARD_COLUMNS if rewarded else COLUMNS)
    writer.writerows(map(reward_row if rewarded else row, rows))
    return base64.b64encode(table.getvalue().encode())


def row(data: Mapping[str, object]) -> list[object]:
    """One step with five decimals; where an epoch ends, the whole validation file counts."""
    valid = "full_valid" if "full_valid_loss" in data else "valid"
    keys = ("train_loss", "train_mean_token_accuracy", f"{valid}_loss", f"{valid}_mean_token_accuracy")
    return [data["step"], *(cell(data.get(key)) for key in keys)]


def reward_row(data: Mapping[str, object]) -> list[object]:
    """One step of reinforcement."""
    return [data["step"], *(cell(data.get(key)) for key in REWARD_COLUMNS[1:])]


def cell(value: object) -> str:
    """A number as the file shows it, nothing where there is none."""
    return "" if value is None else f"{value:.5f}"
