"""`afina serve`: one data directory, one server: its first start, its children, and its welcome."""

import logging
import os
import sys
import urllib.request
from dataclasses import dataclass
from functools import partial

import afina.base
from afina import __version__, ids
from afina.cli.data_directory import exclusively, name_of
from afina.cli.doctor import require_free
from afina.cli.output import CommandFailed, console, emit, show_fields
from afina.cli.supervisor import Program, Supervisor
from afina.errors import AfinaError
from afina.processes import log_to_stderr
from afina.serving import registry
from afina.settings import Settings
from afina.store import hosts, projects, work
from afina.store.database import Database

log = logging.getLogger(__name__)


def run(settings: Settings, *, json: bool) -> None:
    """Serve until a signal ends it."""
    log_to_stderr(settings.log_level)
    with exclusively(settings.data):
        check_address(settings)
        database = Database(settings.database)
        welcome = Welcome(settings, open_rows(database, settings), json)
        died, name = partial(forget, database), name_of(settings.data)
        died(name)  # whoever served this directory before was killed, or has left nothing
        Supervisor(programs(settings), died=died, ready=welcome.given, name=name).run()


def check_address(settings: Settings) -> None:
    """Refuse to start where nobody could reach us."""
    try:
        require_free(settings.host, settings.port)
    except OSError as error:
        message = f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        raise CommandFailed(message, cure="end what uses it, or choose another with --port") from error


def open_rows(database: Database, settings: Settings) -> str | None:
    """Bring the rows up to date; the owner's new key, where the installation is new and no key was given."""
    secret = settings.api_key or ids.api_key()
    database.upgrade()
    with database.system() as system:
        is_new = projects.create_first(system, secret)
        registry.register_bundled(system)
    return secret if is_new and not settings.api_key else None


def programs(settings: Settings) -> list[Program]:
    """The API and the workers, with these settings in their environment."""
    environment = {**os.environ, **settings.to_environment()}
    environment.pop("AFINA_API_KEY", None)
    api = Program("api", (sys.executable, "-m", "afina.api"), environment)
    worker = (sys.executable, "-m", "afina.worker")
    numbers = range(1, settings.workers + 1)
    return [api, *(Program(f"worker-{n}", worker, environment, name_in="AFINA_WORKER") for n in numbers)]


def forget(database: Database, name: str) -> None:
    """A process has died, or all of a name: what it held is free at once, not when its lease would have run out."""
    try:
        with database.system() as system:
            leases, lost = work.release_owner(system, name), hosts.gone_with(system, name)
    except AfinaError as error:
        log.warning("event=release_failed owner=%s reason=%r", name, error.message)
    else:
        log.info("event=released owner=%s leases=%d hosts=%d", name, leases, lost)


@dataclass
class Welcome:
    """What a person is told once the server answers."""

    settings: Settings
    key: str | None
    json: bool

    def given(self) -> bool:
        """Say it as soon as the server is ready, and tell whether that is done."""
        if not answers(self.url):
            return False
        if self.json:
            emit({"url": f"{self.url}/v1", "data": str(self.settings.data.absolute()), "api_key": self.key})
        else:
            self.show()
        return True

    @property
    def names(self) -> str:
        """What the bundled base is called besides; in production, nothing."""
        return "" if self.settings.environment == "production" else "; OpenAI's names lead to it"

    @property
    def url(self) -> str:
        """Where this machine reaches the server; 0.0.0.0 is an address to listen on, not to call."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)
        return (
            f"http://[{host}]:{self.settings.port}" if ":" in host else f"http://{host}:{self.settings.port}"
        )

    def show(self) -> None:
        """The lines to copy."""
        show_fields(
            (
                ("afina", __version__),
                ("server", f"{self.url}/v1"),
                ("data", self.settings.data.absolute()),
                ("base model", f"{afina.base.NAME}: tiny, for trying things out{self.names}"),
                ("workers", self.settings.workers or "none: jobs wait in the queue"),
            )
        )
        if self.key is not None:
            console().print("[yellow]the owner's key follows: keep it, it is not shown again[/]")
        console().print(
            f"\ntry:\n  export OPENAI_BASE_URL={self.url}/v1 OPENAI_API_KEY={self.key or '...'}"
            f'\n  afina chat {afina.base.NAME} "What is asthma?"\n',
            soft_wrap=True,
            markup=False,
        )


def answers(url: str) -> bool:
    """Whether the server is ready; no proxy stands between us."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/healthz", timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False
