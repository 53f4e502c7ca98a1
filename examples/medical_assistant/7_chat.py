"""Step 7: ask the base model and the tuned one the same question, with the system message of the training rows."""

import state
from openai import OpenAI

QUESTION = "What is asthma?"


def ask(client: OpenAI, model: str, system: str, question: str) -> None:
    """Print the answer while it is written."""
    print(f"\n--- {model}")
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
        temperature=0,
        max_tokens=200,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument("question", nargs="?", default=QUESTION, help=f"default: {QUESTION}")
    given = parser.parse_args()
    system, base, tuned = state.need(given.folder, "system", "base", "model")
    client = OpenAI()
    for model in (base, tuned):
        ask(client, model, system, given.question)
    print("\nA demonstration, no medical advice.")
    state.say_next(given.folder, "8_evaluate.py")


if __name__ == "__main__":
    state.run(main)
