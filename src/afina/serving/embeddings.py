"""Embeddings by the installation's own encoder: checked, turned into ids, cut to the dimensions that are wanted."""

import asyncio
import base64
import math
from array import array

from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.completions import CompletionUsage
from afina.schemas.embeddings import (
    ENCODER,
    CreateEmbeddings,
    Embedding,
    EmbeddingList,
    EmbeddingUsage,
    Encoding,
)
from afina.serving.bias import vocabulary
from afina.serving.encoders import Reader, asked, reader
from afina.serving.router import Router

OPENAI = "text-embedding-"
ENCODING = "cl100k_base"  # of all of OpenAI's embedding models
MOST_TOKENS = 300_000
NONE = (
    "This server has no encoder, so it makes no embeddings: vectors pooled from a chat model's states would fill an "
    "index with noise. Its operator can configure one: AFINA_ENCODER is the path of a folder with a sentence encoder "
    "(BERT, XLM-R and the like) in safetensors and its tokenizer.json."
)


async def embed(router: Router, request: CreateEmbeddings) -> EmbeddingList:
    """A vector for each input."""
    encoder, rows = await asyncio.to_thread(prepare, router, request)
    wanted = CreateEmbeddings(model=ENCODER, input=rows, encoding_format="base64")
    reply = EmbeddingList.model_validate_json(await asked(router.hosts, ENCODER, "/v1/embeddings", wanted))
    total = sum(map(len, rows))
    counts = CompletionUsage(prompt_tokens=total, completion_tokens=0, total_tokens=total)
    await router.hosts.meter.count("embeddings", encoder.name, counts)
    width, form = request.dimensions or encoder.width, request.encoding_format or "float"
    data = sorted(reply.data, key=lambda found: found.index)
    return EmbeddingList(
        data=[cut(found, width=width, form=form) for found in data],
        model=request.model,
        usage=EmbeddingUsage(prompt_tokens=total, total_tokens=total),
    )


def prepare(router: Router, request: CreateEmbeddings) -> tuple[Reader, list[list[int]]]:
    """The encoder and each input as ids; everything that can be refused is refused here."""
    encoder = reader(router.settings.encoder, "AFINA_ENCODER")
    if encoder is None:
        raise InvalidRequest(NONE, param="model", code="encoder_not_configured")
    if request.model != encoder.name and not request.model.startswith(OPENAI):
        raise NotFound(
            f"The model `{clipped(request.model)}` does not exist or you do not have access to it. The encoder of "
            f"this server is called `{encoder.name}`; OpenAI's names of embedding models mean it, too.",
            param="model",
            code="model_not_found",
        )
    if request.dimensions and request.dimensions > encoder.width:
        raise refusal("dimensions", f"this encoder has {encoder.width} of them at most")
    rows = [frame(router, encoder, request, given) for given in inputs(request)]
    for place, row in enumerate(rows):
        if len(row) > encoder.context:
            raise too_long(encoder, len(row), place, several=len(rows) > 1)
    if sum(map(len, rows)) > MOST_TOKENS:
        raise refusal("input", f"all inputs together may have {MOST_TOKENS} tokens")
    return encoder, rows


def inputs(request: CreateEmbeddings) -> list[str] | list[list[int]]:
    """The inputs, also where there is only one."""
    if isinstance(request.input, str):
        return [request.input]
    ids = [id for id in request.input if isinstance(id, int)]
    rows = [row for row in request.input if isinstance(row, list)]
    return [ids] if ids else rows or [text for text in request.input if isinstance(text, str)]


def frame(router: Router, encoder: Reader, request: CreateEmbeddings, given: str | list[int]) -> list[int]:
    """One input as the encoder reads it; ids are those of the tokenizer that the model's name stands for."""
    if isinstance(given, str):
        return encoder.ids(given)
    if request.model.startswith(OPENAI):
        return encoder.ids(spelt(router, given))
    if max(given) >= encoder.size:
        raise refusal("input", f"token ids of this encoder are below {encoder.size}")
    return encoder.framed(given)


def spelt(router: Router, ids: list[int]) -> str:
    """The text of ids of OpenAI's vocabulary, where it is installed."""
    tokens = vocabulary(router.vocabularies / f"{ENCODING}.tiktoken")
    if not tokens:
        raise refusal(
            "input",
            f"its ids are those of OpenAI's vocabulary {ENCODING}, which is not installed here; send texts, ask for "
            f"the encoder by its own name and use its own ids, or have the operator install {ENCODING}.tiktoken",
        )
    if any(id not in tokens for id in ids):
        raise refusal("input", f"it holds ids that {ENCODING} does not have")
    return b"".join(tokens[id] for id in ids).decode("utf-8", "replace")


def refusal(param: str, why: str) -> InvalidRequest:
    """What cannot be embedded."""
    return InvalidRequest(f"Invalid '{param}': {why}.", param=param, code="invalid_value")


def too_long(encoder: Reader, length: int, place: int, *, several: bool) -> InvalidRequest:
    """An input that the encoder cannot read to its end."""
    param = f"input[{place}]" if several else "input"
    message = (
        f"This model's maximum context length is {encoder.context} tokens, however you requested {length} tokens "
        f"in '{param}'. Please reduce your prompt."
    )
    return InvalidRequest(message, param=param, code="context_length_exceeded")


def cut(found: Embedding, *, width: int, form: Encoding) -> Embedding:
    """The first dimensions of a vector at unit length, in the form that is wanted."""
    assert isinstance(found.embedding, str)
    vector = array("f", base64.b64decode(found.embedding))[:width]
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    vector = array("f", (value / length for value in vector))
    if form == "base64":
        return found.model_copy(update={"embedding": base64.b64encode(vector.tobytes()).decode()})
    return found.model_copy(update={"embedding": vector.tolist()})
