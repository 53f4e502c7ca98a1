"""The door of a host whose model is an encoder: token ids in, vectors or label scores out."""

import asyncio
import base64
from array import array
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from afina.engine.encoder import Encoder
from afina.schemas.completions import Health
from afina.schemas.embeddings import CreateEmbeddings, Embedding, EmbeddingList, EmbeddingUsage
from afina.schemas.moderations import MODERATOR, Classified, Classify


def create_app(source: Path, *, name: str, threads: int) -> FastAPI:
    """One encoder's server; it answers once the model is loaded, one request at a time."""
    turn = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        classifier = name == MODERATOR
        app.state.encoder = await asyncio.to_thread(
            Encoder.open, source, classifier=classifier, threads=threads
        )
        yield

    app = FastAPI(title=f"afina host of {name}", lifespan=lifespan, openapi_url=None)

    @app.get("/health")
    async def health() -> Health:
        return Health(runs=[], adapters=[])

    @app.post("/v1/embeddings")
    async def embed(request: CreateEmbeddings) -> EmbeddingList:
        rows = [row for row in request.input if isinstance(row, list)]
        async with turn:
            vectors = await asyncio.to_thread(app.state.encoder.embed, rows)
        data = [Embedding(index=place, embedding=packed(vector)) for place, vector in enumerate(vectors)]
        total = sum(map(len, rows))
        return EmbeddingList(
            data=data, model=name, usage=EmbeddingUsage(prompt_tokens=total, total_tokens=total)
        )

    @app.post("/classify")
    async def classify(request: Classify) -> Classified:
        async with turn:
            return Classified(scores=await asyncio.to_thread(app.state.encoder.classify, request.input))

    return app


def packed(vector: list[float]) -> str:
    """Base64 of float32."""
    return base64.b64encode(array("f", vector).tobytes()).decode()
