"""Models: bases that the operator registered, and what jobs made of them."""

from typing import Literal

from afina.schemas.record import Record, internal

ModelKind = Literal["base", "tuned", "checkpoint"]
ModelStatus = Literal["ready", "held", "deleted"]
Thinking = Literal["off", "on"]
SWITCH = "enable_thinking"


class Model(Record):
    """A model that can be named in a request. A base has `source`, all others a manifest in `models/{key}/`.

    `base` is the model whose weights it needs: itself, where it is a base or was tuned as a whole.

    `manifest_sha256` is that of a base's files, as they were when it was registered. `thinking` is a base's: whether
    its template is told to have the model think aloud, or None where the template cannot be told.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None
    project_id: str | None = internal()
    kind: ModelKind = internal("base")
    status: ModelStatus = internal("ready")
    base: str = internal("")
    source: str = internal("")
    key: str = internal("")
    manifest_sha256: str = internal("")
    job_id: str | None = internal()
    thinking: Thinking | None = internal()

    @property
    def whole(self) -> bool:
        """Whether all its weights are its own, so that a host can begin with it."""
        return self.base == self.id

    @property
    def folder(self) -> str:
        """The blob prefix of its files; a base has none."""
        return f"models/{self.key}"

    @property
    def template_options(self) -> dict[str, bool]:
        """What a base's chat template is called with besides the conversation."""
        return template_options(self.thinking)


def template_options(thinking: Thinking | None) -> dict[str, bool]:
    """The switch of chat templates that have one."""
    return {} if thinking is None else {SWITCH: thinking == "on"}


class Manifest(Record):
    """What a tuned model is: written last, so that a folder with a manifest is whole."""

    model: str
    base: str
    base_sha256: str
    job: str
    files: dict[str, str]
    training_file_sha256: str
    validation_file_sha256: str | None
    seed: int
    spec: dict[str, object]
    versions: dict[str, str]
