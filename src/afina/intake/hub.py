"""A model's folder from the Hugging Face hub: only files that are read, only into the data directory."""

import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils.logging import set_verbosity_error

from afina.intake import memory, network
from afina.intake.unfit import Unfit
from afina.intake.weights import NO_PICKLE, PICKLES, SINGLE

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WANTED = ("*.json", "*.jinja", "model*.safetensors", "tokenizer.model", "README.md", "LICENSE*", "LICENCE*")
NOT_WANTED = ("*/*",)  # folders in a repository hold other formats of the same weights
AWAY = (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.ConnectError, httpx2.ConnectTimeout)
UNAVAILABLE = "hub_unavailable"
TRY_AGAIN = "run the command again: what has arrived is kept"


@dataclass(frozen=True)
class Offer:
    """One revision of a repository, before anything large is fetched."""

    hub_id: str
    revision: str
    bytes: int


def look(hub_id: str, revision: str | None) -> Offer:
    """What the hub offers under a name; raises `Unfit` where it does not, or not to us, or only as pickles."""
    with in_our_words(hub_id, revision):
        found = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    files = {file.rfilename: file.size or 0 for file in found.siblings or () if "/" not in file.rfilename}
    weights = [name for name in files if re.fullmatch(r"model.*\.safetensors", name)]
    pickles = [name for name in files for pattern in PICKLES if Path(name).match(pattern)]
    if not weights and pickles:
        raise Unfit(pickles[0], "weights are read from safetensors files only", cure=NO_PICKLE)
    if not weights:
        raise Unfit(SINGLE, f"{hub_id} has no such file", cure="name a repository with safetensors weights")
    assert found.sha is not None
    return Offer(hub_id, found.sha, sum(size for name, size in files.items() if wanted(name)))


def wanted(name: str) -> bool:
    """Whether a file at a repository's top is fetched."""
    return any(Path(name).match(pattern) for pattern in WANTED)


def fetch(offer: Offer, folder: Path, *, available: int | None) -> None:
    """Fetch a revision into `folder`: its configuration first, so that nothing is fetched in vain."""
    folder.mkdir(parents=True, exist_ok=True)
    download(offer, folder, (network.FILE,))
    found = network.read(folder)
    if available is not None:
        memory.check(found, available)
    check_disk(offer, folder)
    download(offer, folder, WANTED)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def download(offer: Offer, folder: Path, patterns: Sequence[str]) -> None:
    """Fetch the files at a repository's top whose names match, unless they are there already."""
    disable_progress_bars()
    set_verbosity_error()  # what it has to say, its exceptions say too
    with in_our_words(offer.hub_id, offer.revision):
        HfApi().snapshot_download(  # pyright: ignore[reportUnknownMemberType] -- of a parameter that is not given
            offer.hub_id,
            revision=offer.revision,
            local_dir=folder,
            allow_patterns=list(patterns),
            ignore_patterns=list(NOT_WANTED),
        )


def check_disk(offer: Offer, folder: Path) -> None:
    """There has to be room for all that will come; what is there already counts."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free + there
    if offer.bytes > free:
        message = (
            f"{offer.hub_id} takes {memory.gib(offer.bytes)} GiB of disk, and there are {memory.gib(free)}"
        )
        raise Unfit("disk", message, cure="free some room, or choose another place with --data")


@contextmanager
def in_our_words(hub_id: str, revision: str | None) -> Generator[None]:
    """What the hub's library raises, as one sentence and a cure."""
    where = f"{hub_id} at revision {revision}" if revision else hub_id
    try:
        yield
    except GatedRepoError:
        message = f"{hub_id} is gated: its owner wants your agreement to a licence first"
        cure = f"agree to it at https://huggingface.co/{hub_id}, then set HF_TOKEN to a token of that account"
        raise Unfit("hub", message, cure=cure, code="model_gated") from None
    except RepositoryNotFoundError:
        message = f"there is no {hub_id}, or it is private"
        cure = "check its name, or set HF_TOKEN to a token that may read it"
        raise Unfit("hub", message, cure=cure, code="model_not_found") from None
    except RevisionNotFoundError:
        raise Unfit(
            "hub", f"{hub_id} has no revision {revision}", cure="check --revision, or leave it out"
        ) from None
    except AWAY as error:
        raise unreachable(where, error) from None
    except HfHubHTTPError as error:
        message = f"it answered {error.response.status_code} when asked for {where}"
        raise Unfit("hub", message, cure=TRY_AGAIN, code=UNAVAILABLE) from None
    except (OSError, httpx2.TransportError) as error:
        message = f"{where} did not arrive whole ({type(error).__name__})"
        cure = f"see that the disk has room, and {TRY_AGAIN}"
        raise Unfit("hub", message, cure=cure, code=UNAVAILABLE) from None


def unreachable(where: str, error: Exception) -> Unfit:
    """The hub is not there for us."""
    message = f"it cannot be reached for {where} ({type(error).__name__})"
    cure = "check the network, HF_ENDPOINT and HF_HUB_OFFLINE; or fetch the folder elsewhere and name it"
    return Unfit("hub", message, cure=cure, code=UNAVAILABLE)
