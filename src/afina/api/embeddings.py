"""`/v1/embeddings`: vectors by the encoder that the operator has configured."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.embeddings import CreateEmbeddings, EmbeddingList
from afina.serving import embeddings

router = APIRouter(prefix="/embeddings", route_class=ThreadedRoute)


@router.post("")
async def create(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateEmbeddings], Depends(json_body(CreateEmbeddings))],
) -> EmbeddingList:
    """A vector for each input."""
    asked = body.value
    if request.headers.get("x-stainless-lang") == "python":
        # OpenAI's client says base64 where its user says nothing; its types, where they are held, know only numbers.
        asked = asked.model_copy(update={"encoding_format": "float"})
    return await embeddings.embed(rooms.router, asked)
