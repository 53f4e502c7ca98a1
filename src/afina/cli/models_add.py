"""`afina models-add`: a model from a folder or from the hub becomes a base that jobs and chats can name."""

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from afina.blobs import sync_folder
from afina.cli.output import CommandFailed, aside, emit, show_fields
from afina.errors import clipped
from afina.intake import hub, memory
from afina.intake.examine import Candidate, examine
from afina.intake.hub import HUB_ID
from afina.intake.speech import Asked
from afina.intake.unfit import Unfit
from afina.schemas.models import Model
from afina.serving import registry
from afina.settings import Settings
from afina.store.database import Database

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEPT = (".json", ".jinja", ".safetensors")


@dataclass(frozen=True)
class Wish:
    """What the operator asked for."""

    name: str
    source: str
    aliases: Sequence[str]
    revision: str | None
    thinking: Asked
    copy: bool
    force: bool


@dataclass(frozen=True)
class Place:
    """Where a model's files are looked at, where they will stay, and where they came from."""

    folder: Path
    home: Path
    revision: str | None = None


def add(settings: Settings, wish: Wish, *, json: bool) -> None:
    """Find, judge, keep, register, and say what was done."""
    check_names(wish)
    homes = settings.data.absolute() / "models"
    available = None if wish.force else memory.here()
    try:
        place = find(wish, homes, available)
        candidate = examine(place.folder, thinking=wish.thinking, available=available)
    except Unfit as error:
        raise CommandFailed(error.message, cure=error.cure, code=error.code) from None
    check_thinking(wish, candidate)
    candidate = keep(candidate, place)
    before = register(settings, wish, candidate, place)
    tell(wish, candidate, before, json=json)


def check_names(wish: Wish) -> None:
    """Names that a URL and a tuned model's name can hold."""
    for what, name in (("the name", wish.name), *(("the alias", alias) for alias in wish.aliases)):
        if not NAME.fullmatch(name):
            message = (
                f"{what} {clipped(name)} is not of 1 to 64 letters, digits, dots, dashes and underscores"
            )
            raise CommandFailed(message, cure="such as qwen3-4b")


def find(wish: Wish, homes: Path, available: int | None) -> Place:
    """A folder of this machine as it is, or one that is fetched from the hub."""
    folder, home = Path(wish.source).expanduser(), homes / wish.name
    if folder.is_dir():
        if wish.revision:
            raise CommandFailed("a folder has no --revision", cure="leave it out, or name a model of the hub")
        folder = folder.resolve()
        return Place(folder, vacant(home) if wish.copy and folder != home else folder)
    if not HUB_ID.fullmatch(wish.source) or folder.exists():
        message = f"{wish.source} is neither a folder here nor a name on the hub"
        raise CommandFailed(message, cure="name a folder with config.json, or ORGANIZATION/MODEL")
    arriving = vacant(home).with_name(f"{wish.name}.partial")
    offer = hub.look(wish.source, wish.revision)
    aside().print(f"fetching {offer.hub_id} at {offer.revision[:12]}: {memory.gib(offer.bytes)} GiB")
    hub.fetch(offer, arriving, available=available)
    return Place(arriving, home, offer.revision)


def vacant(home: Path) -> Path:
    """A folder that is not there yet: what is there may be a base that is being served."""
    if home.exists():
        raise CommandFailed(f"{home} is there already", cure=f"name it with --source {home}, or remove it")
    return home


def check_thinking(wish: Wish, candidate: Candidate) -> None:
    """OpenAI's names of models that do not reason never lead to one that thinks aloud."""
    names = [alias for alias in wish.aliases if alias in registry.OPENAI_NAMES]
    if candidate.thinking == "on" and names:
        message = f"{names[0]} does not think aloud at OpenAI, and --thinking on would make it"
        raise CommandFailed(message, cure="register with --thinking off, or leave this alias out")


def keep(candidate: Candidate, place: Place) -> Candidate:
    """The candidate where it will stay: what was fetched moves there, what was named is copied if asked."""
    if place.folder == place.home:
        return candidate
    arriving = place.home.with_name(f"{place.home.name}.partial")
    if arriving != place.folder:
        copy(place.folder, arriving)
    arriving.rename(place.home)
    sync_folder(place.home.parent)
    return replace(candidate, folder=place.home)


def copy(source: Path, target: Path) -> None:
    """The files that are read, whole on the disk before this returns."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    wanted = [path for path in source.iterdir() if path.suffix in KEPT or path.match("LICEN[CS]E*")]
    for path in (*wanted, *source.glob("README.md")):
        shutil.copyfile(path, target / path.name)
        with (target / path.name).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(target)


def register(settings: Settings, wish: Wish, candidate: Candidate, place: Place) -> dict[str, str | None]:
    """The rows; a data directory that is new gets its tables first."""
    from_hub = place.revision is not None
    base = Model(
        id=wish.name,
        created=int(time.time()),
        owned_by=wish.source.split("/")[0].lower() if from_hub else "operator",
        kind="base",
        base=wish.name,
        source=str(candidate.folder),
        manifest_sha256=candidate.sha256,
        thinking=candidate.thinking,
    )
    detail = {
        "sha256": candidate.sha256,
        "licence": candidate.licence.name,
        "hub": f"{wish.source}@{place.revision}" if from_hub else None,
    }
    database = Database(settings.database)
    database.upgrade()
    with database.system() as system:
        return registry.add_base(system, base, wish.aliases, detail=detail)


def tell(wish: Wish, candidate: Candidate, before: Mapping[str, str | None], *, json: bool) -> None:
    """What the base is, and what its names meant until now."""
    if json:
        emit(document(wish, candidate, before))
        return
    network, licence = candidate.network, candidate.licence
    show_fields(
        (
            ("base model", wish.name),
            ("files", candidate.folder),
            ("family", network.family),
            ("parameters", f"{candidate.parameters / 1e6:,.1f} million"),
            ("context", f"{network.context:,} tokens"),
            ("memory", f"about {memory.gib(candidate.memory_bytes)} GiB to tune it, by our estimate"),
            ("thinking", candidate.thinking or "no switch in its template"),
            ("licence", f"{licence.name}. {licence.remark}" if licence.remark else licence.name),
            ("without", ", ".join(candidate.without) or None),
        )
    )
    for alias, meant in before.items():
        instead = f" (it meant {meant} until now)" if meant not in (None, wish.name) else ""
        aside().print(f"{alias} means {wish.name} from the next request on{instead}")


def document(wish: Wish, candidate: Candidate, before: Mapping[str, str | None]) -> dict[str, object]:
    """The same for programs."""
    return {
        "id": wish.name,
        "folder": str(candidate.folder),
        "family": candidate.network.family,
        "parameters": candidate.parameters,
        "context": candidate.network.context,
        "estimated_memory_bytes": candidate.memory_bytes,
        "thinking": candidate.thinking,
        "licence": candidate.licence.name,
        "licence_remark": candidate.licence.remark or None,
        "without": candidate.without,
        "sha256": candidate.sha256,
        "aliases": before,
    }
