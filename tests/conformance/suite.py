"""The official client's own tests: fetched by pip, checked against the hash in `openai.txt`, never changed."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REQUIREMENT = HERE / "openai.txt"
CACHE = ROOT / "build" / "openai"  # git ignores it, `make clean` removes it
GENERATED = "api_resources"
RESOURCES = {
    "fine_tuning": (
        f"{GENERATED}/fine_tuning/test_jobs.py",
        f"{GENERATED}/fine_tuning/jobs",
        f"{GENERATED}/fine_tuning/checkpoints",
        f"{GENERATED}/fine_tuning/alpha",
        "lib/test_fine_tuning_positional_arguments.py",
    ),
    "files": (f"{GENERATED}/test_files.py",),
    "uploads": (f"{GENERATED}/test_uploads.py", f"{GENERATED}/uploads"),
    "models": (f"{GENERATED}/test_models.py",),
    "batches": (f"{GENERATED}/test_batches.py",),
    "chat": (f"{GENERATED}/chat",),
    "completions": (f"{GENERATED}/test_completions.py",),
    "embeddings": (f"{GENERATED}/test_embeddings.py",),
    "moderations": (f"{GENERATED}/test_moderations.py",),
    "responses": (f"{GENERATED}/test_responses.py", f"{GENERATED}/responses"),
    "evals": (f"{GENERATED}/test_evals.py", f"{GENERATED}/evals"),
    "usage": (f"{GENERATED}/admin/organization/test_usage.py",),
}


def version() -> str:
    """The version that `openai.txt` names."""
    found = re.search(r"^openai==(\S+)", REQUIREMENT.read_text(), re.MULTILINE)
    assert found, f"{REQUIREMENT} names no version of openai"
    return found[1]


def folder() -> Path:
    """Where the suite lies once it has been fetched."""
    return CACHE / f"openai-{version()}"


def fetch() -> Path:
    """The suite's folder; what is not there yet is downloaded, and pip refuses what has another hash."""
    if not (folder() / "tests").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "openai"]
        subprocess.run([*pip, "--dest", str(CACHE), "--requirement", str(REQUIREMENT)], check=True)
        with tarfile.open(CACHE / f"openai-{version()}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return folder()


def paths(resources: list[str]) -> list[str]:
    """The files with the tests of some resources, as pytest takes them in the suite's folder."""
    return [f"tests/{path}" for name in resources for path in RESOURCES[name]]
