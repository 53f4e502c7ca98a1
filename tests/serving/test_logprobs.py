"""Log-probabilities of the content alone, when calls are taken out of the text."""

import afina.base
from afina.data.render import Renderer
from afina.schemas.completions import CompletionChoice, CompletionLogprobs
from afina.serving.choices import ChoiceStream, whole_choice
from afina.serving.logprobs import Spelling
from afina.serving.offers import Offer

RENDERER = Renderer(afina.base.path())
END = max(RENDERER.stop_ids)
CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


def piece(said: bytes | int, finish: str | None = None) -> CompletionChoice:
    """A token as the host tells it."""
    id = said if isinstance(said, int) else RENDERER.ids_by_bytes[said]
    top = {f"token_id:{id}": -0.5, f"token_id:{END}": -1.0, "token_id:70": -2.0}
    logprobs = CompletionLogprobs(tokens=[f"token_id:{id}"], token_logprobs=[-0.5], top_logprobs=[top])
    return CompletionChoice(index=0, text=RENDERER.decode([id]), finish_reason=finish, logprobs=logprobs)


def pieces(text: str) -> list[CompletionChoice]:
    return [*(piece(bytes([byte])) for byte in text.encode()), piece(END, "stop")]


def entries(text: str, *, offer: Offer | None = None) -> bytes:
    """The bytes of all entries of a stream; those of the whole reply are the same."""
    spelling = Spelling(RENDERER, most=2)
    stream = ChoiceStream(0, offer=offer, spelling=spelling)
    chunks = [chunk for part in pieces(text) for chunk in stream.feed(part)]
    found = [entry for chunk in chunks if chunk.logprobs for entry in chunk.logprobs.content]
    parts = pieces(text)
    joined = CompletionChoice(
        index=0,
        text=text,
        finish_reason="stop",
        logprobs=CompletionLogprobs(
            tokens=[token for part in parts for token in part.logprobs.tokens],
            token_logprobs=[-0.5] * len(parts),
            top_logprobs=[top for part in parts for top in part.logprobs.top_logprobs],
        ),
    )
    assert whole_choice(joined, offer=offer, spelling=spelling).logprobs.content == found
    return b"".join(bytes(entry.bytes) for entry in found)


def test_an_entry_for_each_token_of_the_text_but_its_end():
    assert entries("Hi there.") == b"Hi there."
    assert entries("a < b", offer=Offer(())) == b"a < b"


def test_no_entry_for_a_call():
    assert entries(f"Wait.\n{CALL}", offer=Offer(())) == b"Wait."
    assert entries(CALL, offer=Offer((), required=True)) == b""


def test_a_token_with_a_part_of_a_character():
    first, _ = (
        Spelling(RENDERER, most=2).entries(part.logprobs)[0] for part in (piece(b"\xc3"), piece(b"\xb1"))
    )
    assert (first.token, first.bytes, first.logprob) == ("\\xc3", [0xC3], -0.5)
    assert [other.logprob for other in first.top_logprobs] == [-0.5, -1.0]
    assert (first.top_logprobs[1].token, first.top_logprobs[1].bytes) == ("", [])
