"""Models that were tuned as a whole, published from files that are there already."""

from pathlib import Path

from afina.blobs import Blobs
from afina.schemas.models import Manifest, Model


def publish(blobs: Blobs, folder: Path, key: str) -> Model:
    """The row of a model whose files are those of `folder` but for hidden ones; nobody has inserted it yet."""
    name = f"ft:tiny:personal::{key}"
    files = {
        path.name: blobs.put(f"models/{key}/{path.name}", path).sha256
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    }
    manifest = Manifest(
        model=name,
        base="tiny",
        base_sha256="",
        job="ftjob-1",
        files=files,
        training_file_sha256="",
        validation_file_sha256=None,
        seed=1,
        spec={},
        versions={},
    )
    sealed = blobs.write(f"models/{key}/manifest.json", [manifest.model_dump_json().encode()])
    return Model(
        id=name,
        created=1,
        owned_by="personal",
        kind="tuned",
        base=name,
        key=key,
        manifest_sha256=sealed.sha256,
    )
