"""Identifiers in OpenAI's shapes: random, unguessable, and telling what they name."""

import secrets
import string

ALPHANUMERIC = string.ascii_letters + string.digits


def random_text(length: int) -> str:
    """Letters and digits from the system's generator: 24 of them carry 142 bits."""
    return spelt(secrets.randbelow(len(ALPHANUMERIC) ** length), length)


def spelt(number: int, length: int) -> str:
    """A number in letters and digits, the last place first; what does not fit is left out."""
    letters = ""
    for _ in range(length):
        number, place = divmod(number, len(ALPHANUMERIC))
        letters += ALPHANUMERIC[place]
    return letters


def file_id() -> str:
    """`file-` and 24 characters."""
    return "file-" + random_text(24)


def job_id() -> str:
    """`ftjob-` and 24 characters."""
    return "ftjob-" + random_text(24)


def event_id() -> str:
    """`ftevent-` and 24 characters."""
    return "ftevent-" + random_text(24)


def checkpoint_id() -> str:
    """`ftckpt_` and 24 characters."""
    return "ftckpt_" + random_text(24)


def eval_of_job(job: str) -> str:
    """The id of a job's own eval, which follows from the job's."""
    return "eval_" + job.removeprefix("ftjob-")


def eval_run_of_job(job: str, step: int) -> str:
    """The id of the run of that eval behind a step: a step is looked at again only where the first look was lost."""
    return f"evalrun_{job.removeprefix('ftjob-')}_{step}"


def completion_id() -> str:
    """`chatcmpl-` and 29 characters."""
    return "chatcmpl-" + random_text(29)


def request_id() -> str:
    """`req_` and 32 characters."""
    return "req_" + random_text(32)


def prefixed(prefix: str) -> str:
    """An id of ours for what OpenAI's wire does not name: `prefixed("org-")`."""
    return prefix + random_text(24)


def api_key() -> str:
    """A secret; only its SHA-256 is ever stored."""
    return "sk-afina-" + random_text(40)


def derived_api_key(material: bytes) -> str:
    """A secret that the same material gives again: at least 32 bytes that nobody can guess."""
    return "sk-afina-" + spelt(int.from_bytes(material, "big"), 40)


def tuned_model_name(base: str, organization: str, suffix: str | None) -> str:
    """`ft:{base}:{organization}:{suffix or nothing}:{8 characters}`; a base that was tuned itself began as another.

    The names of bases that nobody tuned have no colons.
    """
    base = base.split(":")[1] if base.startswith("ft:") else base
    return f"ft:{base}:{organization}:{suffix or ''}:{random_text(8)}"


def checkpoint_model_name(base: str, organization: str, suffix: str | None, step: int) -> str:
    """A checkpoint's own name: its 8 characters are not those of the final model."""
    return f"{tuned_model_name(base, organization, suffix)}:ckpt-step-{step}"
