"""Checks every line of a file against a format and sums up what was found; streaming, knows no job.

A format is one module with `NAME`, `resembles(row)` and `check(row)`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from afina.data import chat_format, preference_format, reinforcement_format
from afina.data.faults import Fault
from afina.data.jsonl import Line
from afina.data.messages import Conversation, conversation
from afina.data.render import Renderer
from afina.data.report import MAX_KEPT, FileKind, Format, Notice, Problem, Report, Statistics
from afina.data.strict_json import JsonObject, objects

FORMATS = {
    "chat": chat_format,
    "preference": preference_format,
    "reinforcement": reinforcement_format,
}
TRAINED_BY = {"chat": "supervised", "preference": "dpo", "reinforcement": "reinforcement"}


@dataclass(frozen=True)
class Rules:
    """What a file is checked for; with a renderer, also whether its texts spell the base's control tokens.

    `also` finds what else is wrong with a row, which it gets with its number. Of the problems, and of the notices,
    the first `kept` are reported one by one.
    """

    file: FileKind = "training"
    renderer: Renderer | None = None
    kept: int = MAX_KEPT
    format: Format = "chat"
    also: Callable[[JsonObject, int], Iterable[Fault]] = lambda row, number: ()


@dataclass
class _Tally:
    kept: int
    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[Notice] = field(default_factory=list[Notice])
    n_problems: int = 0
    n_warnings: int = 0

    def add(self, finding: Problem | Notice) -> None:
        if isinstance(finding, Problem):
            self.n_problems += 1
            if len(self.problems) < self.kept:
                self.problems.append(finding)
        else:
            self.n_warnings += 1
            if len(self.warnings) < self.kept:
                self.warnings.append(finding)


def validate(lines: Iterable[Line | Problem | Notice], rules: Rules) -> Report:
    """The report on a file's lines; each line is held only while it is checked."""
    tally = _Tally(rules.kept)
    counts = dict.fromkeys(Statistics.model_fields, 0)
    n_examples = 0
    for line in lines:
        if not isinstance(line, Line):
            tally.add(line)
            continue
        n_examples += 1
        faults = list(_faults(line.value, rules.format))
        faults += rules.also(line.value, line.number) if not faults else ()
        for fault in faults:
            tally.add(_finding(fault, line.number))
        if all(fault.warning for fault in faults):
            talks = _conversations(line.value, rules.format)
            _count(counts, talks)
            if rules.renderer is not None and any(
                rules.renderer.spells_control(talk.messages, talk.tools) for talk in talks
            ):
                tally.add(_spelt(line.number))
    return Report(
        file=rules.file,
        format=rules.format,
        n_examples=n_examples,
        n_problems=tally.n_problems,
        n_warnings=tally.n_warnings,
        problems=tuple(tally.problems),
        warnings=tuple(tally.warnings),
        statistics=Statistics(**counts),
    )


def _faults(row: JsonObject, wanted: Format) -> Iterator[Fault]:
    """A row that was meant for another method is named as such, rather than as one without its keys."""
    meant = next((name for name, of in FORMATS.items() if of.resembles(row)), wanted)
    if FORMATS[wanted].resembles(row):
        yield from FORMATS[wanted].check(row)
    elif meant == wanted and "prompt" in row and "completion" in row:
        text = ": Unexpected file format, expected either prompt/completion pairs or chat messages"
        cure = "write the prompt as a user message and the completion as an assistant message"
        yield Fault("$", text, cure)
    elif meant == wanted:
        yield from FORMATS[wanted].check(row)
    else:
        text = f" is in {meant} format, expected {wanted}"
        yield Fault("$", text, f"train with the method {TRAINED_BY[meant]}, or convert the file")


def _conversations(row: JsonObject, format: Format) -> Sequence[Conversation]:
    """What one checked row says: a conversation, or one for each answer."""
    match format:
        case "preference":
            return preference_format.conversations(row)[1:]
        case "reinforcement":
            return [reinforcement_format.prompt(row)]
        case "chat":
            return [conversation(row)]


def _finding(fault: Fault, line: int) -> Problem | Notice:
    kind = Notice if fault.warning else Problem
    return kind(line=line, field=fault.field, message=fault.in_example(line), cure=fault.cure)


def _spelt(line: int) -> Notice:
    return Notice(
        line=line,
        field="messages",
        message=f"Example {line} spells a control token of the base model in its text; it stays plain text",
        cure="remove the token unless it is meant as text",
    )


def _count(counts: dict[str, int], talks: Sequence[Conversation]) -> None:
    """One example's figures, over all that it says."""
    messages = [message for talk in talks for message in talk.messages]
    longest = max(sum(_length(message) for message in talk.messages) for talk in talks)
    roles = [message["role"] for message in messages]
    counts["examples"] += 1
    counts["messages"] += len(messages)
    counts["trained_messages"] += sum(
        message["role"] == "assistant" and message.get("weight", 1) != 0 for message in messages
    )
    counts["characters"] += sum(_length(message) for message in messages)
    counts["longest_characters"] = max(counts["longest_characters"], longest)
    counts["with_tools"] += any(bool(talk.tools) for talk in talks)
    counts["without_system"] += "system" not in roles and "developer" not in roles


def _length(message: JsonObject) -> int:
    content = message.get("content")
    if isinstance(content, list):
        return sum(len(str(part.get("text", ""))) for part in objects(content))
    return len(content) if isinstance(content, str) else 0
