"""The result file, letter by letter."""

import base64

from afina.worker.results import result_file


def table(*metrics):
    return base64.b64decode(result_file(metrics), validate=True).decode()


def test_a_job_that_tries_things_out_has_rewards():
    assert table(
        {"step": 1, "total_steps": 2, "train_mean_reward": 0.5, "scores": {"graders": []}},
        {"step": 2, "train_mean_reward": -1, "full_valid_mean_reward": 0.25},
    ) == ("step,train_mean_reward,full_valid_mean_reward\n1,0.50000,\n2,-1.00000,0.25000\n")


def test_one_row_a_step_with_five_decimals_and_empty_cells():
    assert table(
        {"step": 1, "total_steps": 3, "train_loss": 1.523471, "train_mean_token_accuracy": 0.0},
        {
            "step": 2,
            "train_loss": 1.0,
            "train_mean_token_accuracy": 0.5,
            "valid_loss": 2.0,
            "valid_mean_token_accuracy": 0.25,
        },
        {
            "step": 3,
            "train_loss": 0.0000049,
            "train_mean_token_accuracy": 1,
            "full_valid_loss": 1.5,
            "full_valid_mean_token_accuracy": 0.75,
        },
    ) == (
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
        "1,1.52347,0.00000,,\n"
        "2,1.00000,0.50000,2.00000,0.25000\n"
        "3,0.00000,1.00000,1.50000,0.75000\n"
    )


def test_no_steps_are_a_table_without_rows():
    assert table() == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
