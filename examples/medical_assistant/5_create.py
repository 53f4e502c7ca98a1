"""Step 5: create the fine-tuning job. OPENAI_MODEL names the base; "auto" leaves a number to the server."""

import state
from openai import OpenAI


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument("--epochs", default="auto", help='a number or "auto" (default)')
    parser.add_argument("--batch-size", default="auto", help='a number or "auto" (default)')
    parser.add_argument("--learning-rate-multiplier", default="auto", help='a number or "auto" (default)')
    parser.add_argument("--suffix", default="clinic", help="part of the tuned model's name (default: clinic)")
    parser.add_argument(
        "--seed", type=int, default=7, help="the same seed and rows, the same job (default: 7)"
    )
    given = parser.parse_args()
    training_file, validation_file = state.need(given.folder, "training_file", "validation_file")
    rate = given.learning_rate_multiplier
    job = OpenAI().fine_tuning.jobs.create(
        model=state.BASE,
        training_file=training_file,
        validation_file=validation_file,
        suffix=given.suffix,
        seed=given.seed,
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": "auto" if given.epochs == "auto" else int(given.epochs),
                    "batch_size": "auto" if given.batch_size == "auto" else int(given.batch_size),
                    "learning_rate_multiplier": "auto" if rate == "auto" else float(rate),
                }
            },
        },
    )
    print(f"{job.id}: {job.status}, on {job.model}")
    state.extend(given.folder, base=state.BASE, job=job.id)
    state.say_next(given.folder, "6_watch.py")


if __name__ == "__main__":
    state.run(main)
