"""A host that plays its part: says what it is told to say, and can be told to fail."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse

from afina.errors import AfinaError
from afina.schemas.completions import (
    CachedTokens,
    Completion,
    CompletionChoice,
    CompletionRequest,
    CompletionUsage,
    LoadAdapter,
    UnloadAdapter,
)


class PlayedHost:
    """A host on a Unix socket that says `text` word by word, and can be told to fail."""

    def __init__(self) -> None:
        self.text = "One two three four."
        self.loaded: set[str] = set()
        self.asked: list[CompletionRequest] = []
        self.unloaded: list[str] = []
        self.deaths = 0  # how many replies break after their first word
        self.endless = False
        self.refusal: AfinaError | None = None  # instead of an answer; in a stream behind its first `words`
        self.words = 0
        self.cached: int | None = None  # tokens of each prompt that it says it has not computed
        self.left = threading.Event()
        self.app = FastAPI()
        self.app.post("/v1/completions")(self.complete)
        self.app.post("/v1/load_lora_adapter")(self.load)
        self.app.post("/v1/unload_lora_adapter")(self.unload)

    async def load(self, order: LoadAdapter) -> dict[str, str]:
        assert (Path(order.lora_path) / "adapter_model.safetensors").is_file()
        self.loaded.add(order.lora_name)
        return {}

    async def unload(self, order: UnloadAdapter) -> dict[str, str]:
        self.unloaded.append(order.lora_name)
        return {}

    async def complete(self, request: CompletionRequest) -> Response:
        if request.model != "afina-tiny" and request.model not in self.loaded:
            return JSONResponse({"error": {"message": "not loaded"}}, 404)
        self.asked.append(request)
        words = self.text.replace(" ", " \0").split("\0")
        said = words[: request.max_tokens]
        reason = "length" if len(words) > request.max_tokens else "stop"
        prompt, made = sum(map(len, request.prompts)), len(said) * request.n * len(request.prompts)
        counts = CompletionUsage(
            prompt_tokens=prompt,
            completion_tokens=made,
            total_tokens=prompt + made,
            prompt_tokens_details=None if self.cached is None else CachedTokens(cached_tokens=self.cached),
        )
        if request.stream:
            return StreamingResponse(
                self.events(request, said, reason, counts), media_type="text/event-stream"
            )
        if self.refusal:
            return JSONResponse(self.refusal.wire(), self.refusal.status)
        if self.deaths or self.endless:
            return StreamingResponse(self.broken() if self.deaths else self.waiting())
        choices = [
            CompletionChoice(index=i, text="".join(said), finish_reason=reason)
            for i in range(request.n * len(request.prompts))
        ]
        return JSONResponse(Completion(model=request.model, choices=choices, usage=counts).wire())

    async def broken(self) -> AsyncIterator[bytes]:
        self.deaths -= 1
        yield b'{"object": '
        raise ConnectionAbortedError

    async def waiting(self) -> AsyncIterator[bytes]:
        try:
            while self.endless:
                yield b" "
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def events(
        self, request: CompletionRequest, said: list[str], reason: str, counts: CompletionUsage
    ) -> AsyncIterator[str]:
        def event(choices: list[CompletionChoice], usage: CompletionUsage | None = None) -> str:
            return (
                f"data: {Completion(model=request.model, choices=choices, usage=usage).model_dump_json()}\n\n"
            )

        try:
            yield event([])
            for place, word in enumerate(said):
                last = place == len(said) - 1
                if self.refusal and place == self.words:
                    yield f"data: {json.dumps(self.refusal.wire())}\n\n"
                    return
                for i in range(request.n * len(request.prompts)):
                    yield event(
                        [CompletionChoice(index=i, text=word, finish_reason=reason if last else None)]
                    )
                if self.deaths:
                    self.deaths -= 1
                    raise ConnectionAbortedError
                while self.endless:
                    yield event([CompletionChoice(index=0, text="on and ")])
                    await asyncio.sleep(0.01)
            yield event([], counts)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise
