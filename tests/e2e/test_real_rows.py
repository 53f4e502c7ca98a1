"""A thousand real rows from beginning to end; they are not part of the project, so it may skip."""

import base64
import csv
import io
from pathlib import Path

import pytest
from openai import OpenAI

from afina_server import answer, ended, steps, upload

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "dev"
TRAINING, VALIDATION = FOLDER / "medquad_train_short_1000.jsonl", FOLDER / "medquad_valid_short.jsonl"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not TRAINING.exists(), reason="the rows of MedQuAD are not beside the project")
def test_a_thousand_rows_of_medquad(client: OpenAI) -> None:
    files = [upload(client, path.read_bytes(), path.name).id for path in (TRAINING, VALIDATION)]
    job = client.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=files[0],
        validation_file=files[1],
        seed=1,
        hyperparameters={"n_epochs": 3, "batch_size": 16},
    )
    job = ended(client, job.id, seconds=1500)
    assert (job.status, job.error) == ("succeeded", None)
    taken = steps(client, job.id)
    assert taken == list(range(1, len(taken) + 1)) and len(taken) == 3 * 63
    text = base64.b64decode(client.files.content(job.result_files[0]).read(), validate=True).decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == len(taken)
    assert float(table[-1]["valid_loss"]) < float(table[62]["valid_loss"])
    points = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [point.step_number for point in points] == [189, 126, 63]
    said = [answer(client, point.fine_tuned_model_checkpoint, max_tokens=32) for point in points]
    assert all(said)
