"""Every field that the pinned client can send is known here: done, ignored or refused by name."""

from typing import get_type_hints

import pytest
from openai.types import CompletionCreateParams
from openai.types.chat import completion_create_params as chat
from openai.types.chat.completion_update_params import CompletionUpdateParams
from pydantic import BaseModel

from afina.schemas.chat import CreateChatCompletion, Moderation, StreamOptions
from afina.schemas.stored_chats import UpdateChat
from afina.schemas.text_completions import CreateCompletion

STREAMED = {"stream"}


def fields(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def of_client(*types: object) -> set[str]:
    return {name for each in types for name in get_type_hints(each)}


@pytest.mark.parametrize(
    ("ours", "theirs", "extra"),
    [
        (
            CreateChatCompletion,
            of_client(chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming),
            {"top_k", "min_p"},
        ),
        (CreateCompletion, of_client(*CompletionCreateParams.__args__), {"top_k", "min_p"}),
        (StreamOptions, of_client(chat.ChatCompletionStreamOptionsParam), set()),
        (Moderation, of_client(chat.Moderation), set()),
        (UpdateChat, of_client(CompletionUpdateParams), set()),
    ],
)
def test_no_field_of_the_client_is_unknown(ours: type[BaseModel], theirs: set[str], extra: set[str]):
    assert fields(ours) == theirs | extra
