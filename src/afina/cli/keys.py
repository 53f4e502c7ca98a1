"""`afina keys`: who may talk to this server."""

import time
from typing import Annotated, TypedDict, cast

import typer

from afina.cli.client import connected
from afina.cli.output import Json, ago, aside, console, emit, show_table, span

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

PATH = "/afina/keys"


class Key(TypedDict):
    """A key as the server shows it; the secret itself is in the reply to its creation alone."""

    id: str
    name: str
    role: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class NewKey(Key):
    """The only sight of the secret."""

    secret: str


class Keys(TypedDict):
    """A list of keys."""

    data: list[Key]


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who or what it is for.", show_default=False)],
    role: Annotated[str, typer.Option(help="owner, member (writes) or viewer (reads).")] = "member",
    expires_in_days: Annotated[int | None, typer.Option(min=1, help="Never, when not given.")] = None,
    json: Json = False,
) -> None:
    """Create a key and print it; it is shown once."""
    body: dict[str, object] = {"name": name, "role": role}
    if expires_in_days is not None:
        body["expires_after"] = expires_in_days * 86400
    with connected() as client:
        made = cast(NewKey, client.post(PATH, body=body, cast_to=object))
    if json:
        return emit(made)
    aside().print(f"{made['id']}, {made['role']}: keep the key now, it is not shown again")
    return console().print(made["secret"])


@app.command("list")
def list_keys(json: Json = False) -> None:
    """List the project's newest keys, without their secrets."""
    with connected() as client:
        found = cast(Keys, client.get(f"{PATH}?limit=100", cast_to=object))["data"]
    if json:
        for key in found:
            emit(key)
        return
    rows = ((k["id"], k["name"], k["role"], ago(k["created_at"]), state(k)) for k in found)
    show_table(("ID", "NAME", "ROLE", "CREATED", "STATE"), rows)


def state(key: Key) -> str:
    """Whether a key still opens the door."""
    if key["revoked_at"] is not None:
        return f"revoked {ago(key['revoked_at'])}"
    if key["expires_at"] is None:
        return "valid"
    left = key["expires_at"] - time.time()
    return f"valid for {span(left)}" if left > 0 else "expired"


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, not its secret.", show_default=False)],
    json: Json = False,
) -> None:
    """Revoke a key; its next request is refused."""
    with connected() as client:
        reply = client.delete(f"{PATH}/{key_id}", cast_to=object)
    emit(reply) if json else console().print(f"revoked {key_id}")
