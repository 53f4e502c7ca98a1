"""How this installation is deployed: flag over environment over default. What is decided while it runs is a row."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Literal, get_type_hints

from afina.errors import AfinaError

LIMITS: Mapping[str, tuple[float, float]] = {
    "port": (0, 65535),
    "workers": (0, 64),
    "runs_per_host": (1, 64),
    "threads": (0, 1024),
    "lease_seconds": (0.5, 3600),
    "host_start_seconds": (0.5, 3600),
    "max_file_bytes": (1, inf),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "environment": ("development", "production"),
    "dtype": ("auto", "float32", "bfloat16"),
    "log_level": ("debug", "info", "warning", "error"),
}
DATABASES = ("sqlite:///", "postgresql://", "postgresql+psycopg://", "postgres://")


@dataclass(frozen=True)
class Settings:
    """One field, one variable: `data` is `AFINA_DATA`, `runs_per_host` is `AFINA_RUNS_PER_HOST`."""

    data: Path = Path("afina-data")
    host: str = "127.0.0.1"
    port: int = 8400
    database_url: str = ""  # empty: SQLite in the data directory
    environment: Literal["development", "production"] = "development"
    api_key: str = ""  # becomes the owner's key when the data directory is new
    workers: int = 1
    runs_per_host: int = 4
    threads: int = 0  # of the engine; 0: all cores
    dtype: Literal["auto", "float32", "bfloat16"] = (
        "auto"  # of frozen weights; auto: bfloat16 where it is fast
    )
    lease_seconds: float = 15.0
    host_start_seconds: float = 60.0  # how long a caller waits for a host
    max_file_bytes: int = 512 * 1024 * 1024
    log_level: str = "info"
    encoder: str = ""  # the folder of a sentence encoder, for embeddings
    moderator: str = ""  # the folder of a text classifier, for moderations beside the list of phrases
    webhook_hosts: str = (
        "public"  # where webhooks may go: `public` over HTTPS, and hosts of one's own by name
    )
    wandb_api_key: str = field(
        default="", repr=False
    )  # of Weights & Biases; without it, nothing is sent there
    wandb_base_url: str = "https://api.wandb.ai"

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise AfinaError(f"{variable(name)} must be between {least:g} and {most:g}, not {value:g}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise AfinaError(f"{variable(name)} must be one of: {', '.join(known)}")
        if self.database_url and not self.database_url.startswith(DATABASES):
            raise AfinaError(
                "AFINA_DATABASE_URL must be postgresql://...; left out, it is SQLite in the data directory"
            )

    @property
    def database(self) -> str:
        """The URL of the rows."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'afina.db'}"

    @property
    def has_workers(self) -> bool:
        """Whether somebody may work; beside PostgreSQL, workers may be on other machines."""
        return self.workers > 0 or not self.database.startswith("sqlite:")

    @property
    def tokens(self) -> Path:
        """The folder of all token files, by the file that they were made of."""
        return self.data.absolute() / "cache" / "tokens"

    @property
    def engine_threads(self) -> int:
        """How many cores one engine computes on."""
        return self.threads or os.cpu_count() or 1

    @property
    def engine_dtype(self) -> Literal["float32", "bfloat16"]:
        """What engines hold frozen weights in."""
        if self.dtype == "auto":
            return "bfloat16" if multiplies_bf16() else "float32"
        return self.dtype

    def with_flags(self, **flags: Any) -> "Settings":
        """A copy in which each flag that was given (is not None) wins."""
        return replace(self, **{name: value for name, value in flags.items() if value is not None})

    def to_environment(self) -> dict[str, str]:
        """The variables by which a child process gets the same settings; the first key stays with us."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "api_key"}
        return {variable(name): str(value) for name, value in values.items()}


@cache
def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products of bfloat16; without them they are slower than float32."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return bool(known & {"avx512_bf16", "amx_bf16", "bf16"})


def variable(name: str) -> str:
    """The environment's name of a field."""
    return "AFINA_ENV" if name == "environment" else f"AFINA_{name.upper()}"


def from_environment(environ: dict[str, str] | None = None) -> Settings:
    """Settings from `AFINA_*`; a value that cannot be is refused by the name of its variable."""
    environ = dict(os.environ) if environ is None else environ
    types = get_type_hints(Settings)
    given = {name: environ[variable(name)] for name in types if environ.get(variable(name))}
    values: dict[str, Any] = {name: parse(name, types[name], text) for name, text in given.items()}
    return Settings(**values)


def parse(name: str, kind: type, text: str) -> object:
    """One variable's text as its field's type."""
    if kind not in (int, float, Path):
        return text
    try:
        return kind(text)
    except ValueError:
        raise AfinaError(f"{variable(name)} must be a number, and it is not") from None
