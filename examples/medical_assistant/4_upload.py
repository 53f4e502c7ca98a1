"""Step 4: upload the training file and the held-out file, and wait until the server has processed both."""

import sys

import state
from openai import OpenAI


def main() -> None:
    given = state.parser(__doc__).parse_args()
    sides, client = state.sides(given.folder), OpenAI()
    for name, side in zip(("training_file", "validation_file"), sides, strict=True):
        with side.open("rb") as rows:
            file = client.files.create(file=rows, purpose="fine-tune")
        file = client.files.wait_for_processing(file.id, poll_interval=1)
        if file.status != "processed":
            sys.exit(f"{side.name} is {file.status}: {file.status_details}")
        print(f"{side.name}: {file.bytes:,} bytes are {file.id}")
        state.extend(given.folder, **{name: file.id})
    state.say_next(given.folder, "5_create.py")


if __name__ == "__main__":
    state.run(main)
