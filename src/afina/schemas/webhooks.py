"""Webhook endpoints, and the events that they are told of."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afina.schemas.record import Record, Request, internal

EventType = Literal[
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
]


def each_once(value: list[str]) -> list[str]:
    """No type may be named twice."""
    if len(set(value)) < len(value):
        raise PydanticCustomError("invalid_value", "event_types may name each type once")
    return value


EventTypes = Annotated[list[EventType], Field(min_length=1), AfterValidator(each_once)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class CreateEndpoint(Request):
    """The body of `POST /webhook_endpoints`."""

    name: Name
    url: Url
    event_types: EventTypes


class UpdateEndpoint(Request):
    """What changes in an endpoint; what is not named stays."""

    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None


class RotateSecret(Request):
    """The old secret may sign beside the new one for a day."""

    keep_old_secret_active_for_24_hours: bool = False


class TryEndpoint(Request):
    """Which kind of event a sample is sent of."""

    event_type: EventType


class Endpoint(Record):
    """Who is told when something ends; `secret` signs what is sent, `old_secret` too until its time is over."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str = ""
    project_id: str = internal("")
    secret: str = internal("")
    old_secret: str | None = internal()
    old_secret_until: int | None = internal()

    def secrets(self, now: int) -> list[str]:
        """What signs a delivery at this time."""
        old = self.old_secret if self.old_secret_until is not None and now < self.old_secret_until else None
        return [self.secret, *([old] if old else [])]


class EndpointWithSecret(Endpoint):
    """An endpoint with the secret that nobody will see again."""

    signing_secret: str


class Tried(Record):
    """What an endpoint answered to a sample."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True


class EventTypeList(Record):
    """All that an endpoint can ask for."""

    object: Literal["list"] = "list"
    data: list[str]


class EventSubject(Record):
    """The job, batch or run that an event is about."""

    id: str


class WebhookEvent(Record):
    """What is delivered."""

    id: str
    object: Literal["event"] = "event"
    created_at: int
    type: str
    data: EventSubject
