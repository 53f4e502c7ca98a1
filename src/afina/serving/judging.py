"""What graders need of models: a judge asked as a chat, and vectors of the configured encoder."""

import asyncio

from pydantic import TypeAdapter

from afina.graders.grade import Embed
from afina.graders.judges import Ask, JsonObject, Said
from afina.schemas.chat import CreateChatCompletion, JsonSchema, JsonSchemaFormat
from afina.schemas.chat_messages import Message
from afina.schemas.embeddings import CreateEmbeddings
from afina.schemas.graders import GraderTokens, JudgeSampling
from afina.serving import embeddings
from afina.serving.patience import patiently
from afina.serving.router import Router

AT_ONCE = 32  # questions of one run to its grading models: more would wait in their host
MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


def asking(router: Router, project_id: str) -> Ask:
    """Asks the models of a project; replies are held to the form."""

    async def ask(
        model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
    ) -> Said:
        target = await asyncio.to_thread(router.find, project_id, model)
        request = CreateChatCompletion(
            model=model,
            messages=MESSAGES.validate_python(messages),
            max_completion_tokens=sampling.max_completions_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            reasoning_effort=sampling.reasoning_effort,
            response_format=JsonSchemaFormat(
                type="json_schema", json_schema=JsonSchema(name="grade", schema=form, strict=True)
            ),
        )
        reply = await router.complete(target, request)
        message, usage = reply.choices[0].message, reply.usage
        tokens = GraderTokens(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.prompt_tokens_details.cached_tokens,
        )
        refused = message.refusal is not None
        return Said(text=message.content or "", model=target.resolved.id, tokens=tokens, refused=refused)

    return ask


def patient(ask: Ask) -> Ask:
    """Asks a few questions at a time, and again where a model cannot answer at the moment."""
    places = asyncio.Semaphore(AT_ONCE)

    async def asked(
        model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
    ) -> Said:
        async with places:
            return await patiently(lambda: ask(model, messages, form=form, sampling=sampling))

    return asked


def embedding(router: Router) -> Embed | None:
    """Makes vectors of unit length; None where no encoder is configured."""
    if not router.settings.encoder:
        return None

    async def embed(texts: list[str]) -> list[list[float]]:
        # An empty text has no vector, and is a space away from having one.
        request = CreateEmbeddings(model=f"{embeddings.OPENAI}3-large", input=[text or " " for text in texts])
        reply = await embeddings.embed(router, request)
        return [found.embedding for found in reply.data if isinstance(found.embedding, list)]

    return embed
