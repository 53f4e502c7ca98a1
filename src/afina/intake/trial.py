"""`python -m afina.intake.trial FOLDER`: tokenizer and chat template tried, in a process that may be killed.

Whoever wrote them may have written an endless loop. What is found goes to stdout, one JSON object a line: first where
the trial is, at the end what it found or what is wrong.
"""

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from afina.data.render import Renderer
from afina.data.strict_json import JsonObject
from afina.errors import AfinaError
from afina.intake.speech import Found
from afina.intake.unfit import Unfit
from afina.processes import die_with
from afina.schemas.models import SWITCH, Thinking, template_options

TEMPLATE = "chat_template.jinja"
CLOSE_TURNS = "have the template close each assistant's turn with the model's end-of-turn token"


def say(role: str, content: str) -> JsonObject:
    """One message."""
    return {"role": role, "content": content}


ONE: list[JsonObject] = [say("user", "What is anaemia?"), say("assistant", "Too little haemoglobin.")]
SEVERAL = [*ONE, say("user", "Is it dangerous?"), say("assistant", "It can be: see a doctor.")]
MANY_SCRIPTS: list[JsonObject] = [
    say("user", "¿Qué es la anemia? 貧血 \U0001fa78"),
    say("assistant", "Poca hemoglobina: año, corazón, ¡médico!"),
]
SYSTEM = [say("system", "Answer briefly."), *ONE]
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "find_leaflet",
        "description": "Find a leaflet by its subject",
        "parameters": {"type": "object", "properties": {"subject": {"type": "string"}}},
    },
}
CALL: JsonObject = {
    "id": "call_00001",
    "type": "function",
    "function": {"name": "find_leaflet", "arguments": '{"subject": "anaemia"}'},
}
CALLED: list[JsonObject] = [
    say("user", "Is there a leaflet?"),
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_00001", "content": "Leaflet 7"},
    say("assistant", "Yes: leaflet 7."),
]


def main() -> None:
    """Try a folder within limits; exit 0 whether it is fit or not, anything else is an end that was not planned."""
    arguments = parse(sys.argv[1:])
    die_with(arguments.parent, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CPU, (arguments.seconds, arguments.seconds))
    resource.setrlimit(resource.RLIMIT_AS, (arguments.bytes, arguments.bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        report({"found": asdict(attempt(arguments.folder, arguments.thinking))})
    except Unfit as error:
        report({"unfit": [error.file, error.message.removeprefix(f"{error.file}: "), error.cure]})
    except AfinaError as error:
        report({"unfit": [TEMPLATE, error.message, "mend the template, or choose another base"]})
    os._exit(0)  # nothing of the model's gets a last word


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; limits have to be given."""
    parser = argparse.ArgumentParser(prog="afina.intake.trial")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--thinking", choices=("auto", "off", "on", "none"), required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    return parser.parse_args(arguments)


def report(line: Mapping[str, object]) -> None:
    """One line for whoever started us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def attempt(folder: Path, asked: str) -> Found:
    """What the folder's tokenizer and template can do; raises `Unfit`, or an error of rendering."""
    report({"at": "tokenizer.json"})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    report({"at": TEMPLATE})
    thinking = mode(folder, asked)
    renderer = Renderer(folder, template_options(thinking))
    if not renderer.stop_ids:
        raise Unfit(
            "tokenizer_config.json", "no token ends an answer", cure="name the model's eos_token in it"
        )
    for talk in (ONE, SEVERAL, MANY_SCRIPTS):
        check(renderer, talk)
    without = [name for name, talk, tools in optional() if not renders(renderer, talk, tools)]
    return Found(largest_id=largest, thinking=thinking, without=without)


def optional() -> list[tuple[str, list[JsonObject], list[JsonObject] | None]]:
    """What many templates cannot do; jobs and chats that need it will be told so."""
    return [("system messages", SYSTEM, None), ("tools", CALLED, [TOOL])]


def mode(folder: Path, asked: str) -> Thinking | None:
    """How the base will be rendered: off, unless something else was asked for; None where there is no switch."""
    prompts = [Renderer(folder, {SWITCH: on}).prompt(ONE[:1]) for on in (True, False)]
    has_switch = prompts[0] != prompts[1]
    if has_switch and asked == "none":
        raise Unfit(TEMPLATE, f"it has a switch, {SWITCH}", cure="say --thinking off or --thinking on")
    if not has_switch and asked in ("off", "on"):
        raise Unfit(TEMPLATE, f"it has no switch {SWITCH}", cure="say --thinking none, or leave it out")
    if not has_switch:
        return None
    return "on" if asked == "on" else "off"


def renders(renderer: Renderer, talk: list[JsonObject], tools: list[JsonObject] | None) -> bool:
    """Whether a conversation passes."""
    try:
        check(renderer, talk, tools)
    except AfinaError:
        return False
    return True


def check(renderer: Renderer, talk: list[JsonObject], tools: list[JsonObject] | None = None) -> None:
    """The last answer, as it is trained, stands behind the very prompt of serving, whole, and is closed."""
    prompt = renderer.prompt(talk[:-1], tools)
    row = renderer.example(talk, tools)[-1]
    if row.ids[: len(prompt)] != prompt or len(row.ids) == len(prompt):
        message = "an answer in training does not begin where the prompt of serving ends"
        raise Unfit(TEMPLATE, message, cure="use the template of the model's chat version")
    answer = [id for id, weight in list(zip(row.ids, row.weights, strict=True))[len(prompt) :] if weight]
    if str(talk[-1]["content"]) not in renderer.decode(answer):
        message = "it does not give back the text that it was given: accents or other letters are lost"
        raise Unfit("tokenizer.json", message, cure="choose a base for the languages that you need")
    if not answer or answer[-1] not in renderer.stop_ids:
        raise Unfit(TEMPLATE, "an answer does not end with a token that ends answers", cure=CLOSE_TURNS)


if __name__ == "__main__":
    main()
