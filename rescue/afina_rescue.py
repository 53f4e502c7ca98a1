#!/usr/bin/env python3
"""Save what OpenAI switches off (fine-tunes, files, jobs, evals, stored chats) into a plain folder, before it does.

One file: the standard library and `openai`. The other side is only read; `goldens` alone asks its models, unstored.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date, datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain, count, islice
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import openai

try:
    import httpx2 as httpx  # what openai speaks HTTP with since its version 3
except ImportError:
    import httpx

__version__ = "0.1.0"

Object = dict[str, Any]  # an object of the API, as it came
Task = Callable[[], None]
Answer = TypeVar("Answer")
part = partial(quote, safe="", errors="replace")  # an id as one part of a path

# ---- What ends when, what answers cost, why something may be missing: English, then Spanish ---------------------

# as OpenAI's pages said on 22 November 2026, and so the prices: dollars a million tokens in and out, of fine-tunes
ENDINGS = (
    ("2026-10-23", "gpt-4.1-nano tunes stop answering", "los afinados de gpt-4.1-nano dejan de responder"),
    ("2026-11-30", "evals, their runs and graders end", "acaban las evaluaciones, ejecuciones y evaluadores"),
    ("2027-01-06", "no new fine-tuning jobs, for anyone", "no se crean más trabajos de ajuste fino"),
    ("2027-01-14", "gpt-4o and gpt-4.1 tunes stop answering", "los afinados de gpt-4o y gpt-4.1 dejan de responder"),
)
TUNES = {
    "gpt-4.1-nano": ("2026-10-23", 0.20, 0.80),
    "gpt-4.1-mini": ("2027-01-14", 0.80, 3.20),
    "gpt-4.1": ("2027-01-14", 3.00, 12.00),
    "gpt-4o-mini": ("2027-01-14", 0.30, 1.20),
    "gpt-4o": ("2027-01-14", 3.75, 15.00),
    "gpt-3.5-turbo": ("", 3.00, 6.00),
    "o4-mini": ("", 4.00, 16.00),
}
UNKNOWN = ("", 0.0, 0.0)
LISTS = dict(models="/models", files="/files", jobs="/fine_tuning/jobs", evals="/evals", chats="/chat/completions")
GAPS = {
    "missing": ("gone from the server: look for a copy of your own", "ya no está: busque una copia propia"),
    "expired": ("expired: look for a copy of your own", "caducado: busque una copia propia"),
    "forbidden": ("the key may not read it: use one that may", "la clave no puede leerlo: use otra"),
    "key": ("the server refused the key: use a valid one", "el servidor rechazó la clave: use otra"),
    "not_offered": ("not offered by this server: see --without", "este servidor no lo ofrece: vea --without"),
    "refused": ("the server refused: look for a copy of your own", "rechazado: busque una copia propia"),
    "endless": ("it never ends: ask who runs the server", "no acaba nunca: pregunte a quien lleva el servidor"),
    "differs": ("not as long as announced, but kept: start again", "no mide lo anunciado: empiece de nuevo"),
    "unreachable": ("the connection broke again and again: start again", "sin conexión: empiece de nuevo"),
    "failing": ("the server failed again and again: start again later", "el servidor falla: empiece más tarde"),
    "busy": ("too many requests: start again, lower --rate", "demasiadas peticiones: repita con --rate menor"),
    "garbled": ("the answer cannot be read: start again", "no se entiende la respuesta: empiece de nuevo"),
    "quota": ("no credit left: add some, start again", "no queda saldo: recargue y empiece de nuevo"),
    "silent": ("the model answers no more: retrain it", "el modelo ya no responde: reentrénelo"),
    "budget": ("cap reached: raise --max-usd, --max-requests", "tope alcanzado: suba --max-usd, --max-requests"),
}
RETRIED = {"differs", "unreachable", "failing", "busy", "garbled"}
PASSING = {*RETRIED, "key", "quota"}  # asked for again when an interrupted run goes on
FATAL, FATAL_IN_A_ROW = {"key", "unreachable", "failing", "quota"}, 8  # so many of them end the run
BY_STATUS = {401: "key", 403: "forbidden", 404: "missing", 405: "not_offered", 410: "expired", 429: "busy"}
TERMINAL = {"succeeded", "failed", "cancelled", "completed", "canceled"}  # of jobs and of eval runs
OMITTABLE = ("logprobs", "temperature", "seed", "max_completion_tokens")
PAGE, MOST_PAGES = 100, 100_000
LONGEST_WAIT = 600.0  # seconds that a server may ask us to wait
LARGEST_ANSWER = 1 << 29  # bytes
MESSAGE_TOKENS = 16  # more than a template adds to one message
PART_TOKENS = 128_000  # of an image or a document: a whole context


class Refused(Exception):
    """The run ends here, with one clear line; what was saved stays whole."""


class Gap(Exception):
    """Something that could not be had: a code of GAPS, the HTTP status, and what the server said."""

    def __init__(self, code: str, status: int = 0, said: str = ""):
        super().__init__(code)
        self.code, self.status, self.said = code, status, said


LOCALE = next(filter(None, map(os.environ.get, ("AFINA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))), "")
LANGUAGE = "es" if LOCALE.lower().startswith("es") else "en"


def tell(english: str, spanish: str) -> str:
    return spanish if LANGUAGE == "es" else english


def say(text: str, end: str = "\n") -> None:
    """A line for whoever started us, in the place of a moving one."""
    place = "\r\033[K" if sys.stderr.isatty() else ""
    print(place + clean(text), end=end, file=sys.stderr, flush=True)


def clean(text: str) -> str:
    """A server's text for a terminal: without what would steer it."""
    return "".join(c if c.isprintable() else "?" for c in text)


def inside(answer: Any, kind: type[Answer], *keys: str) -> Answer:
    """What stands in a server's answer, if it is of that kind; else an empty one."""
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer if isinstance(answer, kind) else kind()


# ---- The folder: plain files, and a journal of which of them are whole ------------------------------------------
class Folder:
    """A rescue folder. A file is written aside, synced, renamed and then recorded: it is whole, or not there."""

    def __init__(self, path: Path):
        self.path, self.lock = path, threading.Lock()
        self.about: Object = {"format": 1, "pass": 0}
        self.records: dict[str, Object] = {}

    def load(self) -> Folder:
        """Read what is there; a folder that is no rescue folder is refused."""
        with suppress(ValueError, KeyError, TypeError):
            if (self.path / "rescue.json").exists():
                self.about = json.loads((self.path / "rescue.json").read_bytes())
                self.records = {record["path"]: record for record in self.objects("manifest.jsonl")}
            elif self.path.is_dir() and set(os.listdir(self.path)) - {".lock", ".rescue-tmp"}:
                self.about = {}
            if self.about["format"] == 1 and isinstance(self.about["pass"], int):
                return self
        raise Refused(f"{self.path}: " + tell("no rescue folder, use another", "no es carpeta de rescate, use otra"))

    def hold(self) -> None:
        """Make the folder ours alone, until this process ends; what an interrupted run left half made goes."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.held = (self.path / ".lock").open("w")
        with suppress(ImportError):  # Windows
            from fcntl import LOCK_EX, LOCK_NB, flock

            flock(self.held, LOCK_EX | LOCK_NB)
        shutil.rmtree(self.path / ".rescue-tmp", ignore_errors=True)

    def describe(self, **facts: object) -> None:
        self.about.update(facts)
        self.put("rescue.json", [as_line(self.about)])

    def begin_pass(self) -> None:
        """Read all lists anew when the last pass came to its end; what never changes is kept for ever."""
        if self.about.get("finished_at") or not self.about["pass"]:
            self.describe(**{"pass": self.about["pass"] + 1, "finished_at": None})

    def compact(self) -> None:
        """Rewrite the journal, one line a path; the list of gaps follows from it."""
        self.put("manifest.jsonl", (as_line(self.records[name]) for name in sorted(self.records)))
        self.put("gaps.jsonl", map(as_line, self.gaps()))

    def gaps(self) -> list[Object]:
        """What is missing now: in this pass, and of the goldens."""
        found = [self.records[name] for name in sorted(self.records) if self.records[name]["state"] == "gap"]
        return [gap for gap in found if gap.get("missing", gap["pass"] == self.about["pass"])]

    def put(self, name: str, chunks: Iterable[bytes], sizes: tuple[int, ...] = ()) -> tuple[int, str]:
        """Write a file whole; its size and SHA-256. If the size is none of `sizes`, it is only kept as `.partial`."""
        aside = self.path / ".rescue-tmp" / f"{threading.get_ident()}-{time.monotonic_ns()}"
        try:
            aside.parent.mkdir(exist_ok=True)
            with aside.open("wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            size, digest = measure(aside)
            target = self.path / (name if not sizes or size in sizes else f"{name}.partial")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, target)
        finally:
            with suppress(OSError):
                aside.unlink()
        if sizes and size not in sizes:
            raise Gap("differs", said=f"{size} != {sizes[0]}")
        return size, digest

    def store(self, name: str, chunks: Iterable[bytes], facts: Object, sizes: tuple[int, ...] = ()) -> None:
        """`put`, and the journal says that it is whole. `facts` hold `final`: never to be asked for again."""
        size, digest = self.put(name, chunks, sizes)
        self.record(name, {"state": "saved", "bytes": size, "sha256": digest, **facts})
        with suppress(OSError):
            (self.path / f"{name}.partial").unlink()

    def record(self, name: str, facts: Object) -> None:
        """One line more in the journal; it begins with a line end, in case the one before is torn."""
        record = {"path": name, **facts, "pass": self.about["pass"], "at": now()}
        with self.lock, (self.path / "manifest.jsonl").open("ab") as journal:
            self.records[name] = record
            journal.write(b"\n" + as_line(record))

    def miss(self, name: str, gap: Gap, kind: str, ident: str, **facts: object) -> None:
        """Name a gap: what is missing, and why."""
        about = {"code": gap.code, "status": gap.status, "said": gap.said, **facts}
        self.record(name, {"state": "gap", "kind": kind, "id": ident, **about})

    def state(self, name: str) -> str:
        return self.records.get(name, {}).get("state", "")

    def done(self, name: str, facts: Object) -> bool:
        """Whether nothing has to be asked for: it is whole by its hash, or known in this pass not to be there."""
        record = self.records.get(name) or {"state": "asked"}
        current = record.get("pass") == self.about["pass"]
        if record["state"] == "gap":
            return current and record["code"] not in PASSING
        size, digest = measure(self.path / name)
        if record["state"] == "asked" and digest:  # it got its name, and we were killed before its line
            self.record(name, {**record, **facts, "state": "saved", "bytes": size, "sha256": digest})
            return True
        return (record.get("bytes"), record.get("sha256")) == (size, digest) and (record["final"] or current)

    def objects(self, *names: str) -> Iterator[Object]:
        """The objects of lists, as far as they were saved; a line that is torn does not count."""
        for name in names:
            found = name if (self.path / name).exists() else f"{name}.partial"
            with suppress(FileNotFoundError), (self.path / found).open("rb") as file:
                for line in file:
                    with suppress(ValueError):
                        yield json.loads(line)

    def pages(self, name: str) -> list[str]:
        """The pages of an unfinished list that this pass has stored, in order."""
        return [f"pages/{name}/{page.name}" for page in sorted((self.path / "pages" / name).glob("*.jsonl"))]


def measure(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of what lies on the disk; of nothing, they are empty."""
    size, digest = 0, hashlib.sha256()
    with suppress(FileNotFoundError), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest() if path.exists() else ""


def safe(ident: str) -> str:
    """An id of the server's as the name of a file on any system, never a way out of the folder."""
    name = "".join(c if re.match(r"[\w.-]", c, re.ASCII) else f"%{ord(c):02X}" for c in ident)
    name = re.sub(r"^\.|\.$", "%2E", name) or "%"
    return name if len(name) <= 120 else f"{name[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def as_line(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which JSON may hold and UTF-8 may not
        return json.dumps(value).encode() + b"\n"


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def day(stamp: object) -> str:
    """Unix seconds as a date; empty where there are none."""
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(stamp, (int, float)):
            return datetime.fromtimestamp(stamp, timezone.utc).date().isoformat()
    return ""


def reason(error: OSError) -> str:
    """Which file, what the system says of it, and what to do."""
    said = tell("what was saved is whole; mend this, start again", "lo guardado está entero; corríjalo y repita")
    if isinstance(error, BlockingIOError):
        said = tell("another run is at work in this folder", "otra ejecución trabaja en esta carpeta")
    return f"{error.filename or ''} {error.strerror or type(error).__name__}; {said}".strip()


# ---- The other side: paced, patient, never for ever -------------------------------------------------------------
class Api:
    """One server, by one key. It reads; `post` is there for `goldens` alone."""

    def __init__(self, client: openai.OpenAI, *, rate: float, tries: int, wait: float):
        self.client, self.tries, self.wait = client, max(1, tries), max(0.0, wait)
        self.interval = 1 / rate if rate > 0 else 0.0
        self.lock, self.next_turn, self.in_a_row = threading.Lock(), 0.0, 0
        url = urlsplit(str(client.base_url))  # of which a name, a password or a query are not ours to tell
        self.server = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}".rstrip("/")

    def get(self, path: str, **params: object) -> Object:
        """One object of the API."""
        return self.ask(lambda: as_object(json.loads(b"".join(self.read(path, LARGEST_ANSWER, params)))))

    def read(self, path: str, most: float, params: Object | None = None) -> Iterator[bytes]:
        """The bytes of an answer as they come; one of more than `most` is taken to be without end."""
        kind: Any = {"cast_to": httpx.Response, "stream": True, "stream_cls": openai.Stream[Any]}
        with closing(self.client.get(path, options={"params": params or {}}, **kind)) as response:
            for chunk in response.iter_bytes():
                most -= len(chunk)
                if most < 0:
                    raise Gap("endless")
                yield chunk

    def try_get(self, path: str, **params: object) -> str:
        """Whether there is an answer: the code of the gap, empty where there is none."""
        try:
            self.get(path, **params)
        except Gap as gap:
            return gap.code
        return ""

    def post(self, path: str, body: Object) -> Object:
        """One attempt: its caller counts what attempts cost."""
        patience: Any = {"timeout": 300.0}
        answer = as_object(self.client.post(path, cast_to=httpx.Response, body=body, options=patience).json())
        return as_object(answer if isinstance(answer.get("choices"), list) else None)

    def pages(self, path: str, *, after: str, seen: set[str]) -> Iterator[tuple[list[Object], bool]]:
        """What each page adds to `seen`, and whether there is more; a list that only repeats itself is a gap."""
        for _page in range(MOST_PAGES):
            page = self.get(path, limit=PAGE, **({"after": after} if after else {}))
            data = page.get("data")
            if not isinstance(data, list) or not all(isinstance(as_object(item).get("id"), str) for item in data):
                raise Gap("garbled")
            more = page.get("has_more")
            more = path != LISTS["models"] and (len(data) >= PAGE if more is None else bool(more))
            fresh = [item for item in data if item["id"] not in seen]
            if more and not fresh:
                break
            seen.update(item["id"] for item in fresh)
            yield fresh, more
            if not more:
                return
            after = data[-1]["id"]
        raise Gap("endless", said=self.redact(f"after={after}"))

    def ask(self, once: Callable[[], Answer]) -> Answer:
        """What `once` returns: faults that pass are waited for, up to `tries` attempts; others are gaps at once."""
        faults = (Gap, openai.OpenAIError, httpx.RequestError, httpx.StreamError, ValueError, RecursionError)
        for tried in count(1):
            self.take_turn()
            try:
                answer = once()
                self.in_a_row = 0
                return answer
            except faults as error:
                gap, pause = self.judge(error)
                if gap.code not in RETRIED or tried == self.tries or pause > LONGEST_WAIT:
                    self.give_up_on(gap)
                    raise gap from None
            self.rest(tried, gap, pause)

    def give_up_on(self, gap: Gap) -> None:
        """Count faults in a row: who answers nobody is not asked a thousand times."""
        self.in_a_row = self.in_a_row + 1 if gap.code in FATAL else 0
        if self.in_a_row >= FATAL_IN_A_ROW:
            self.in_a_row = 0
            if code := "quota" if gap.code == "quota" else self.closed():
                raise Refused(f"{self.server}: {tell(*GAPS[code])}")

    def closed(self) -> str:
        """Why this server answers nobody, as the code of a gap; empty where it answers."""
        code = ""
        for name in ("models", "files", "jobs"):
            code = self.try_get(LISTS[name], limit=1)
            if code not in FATAL or code == "unreachable":
                break
        return code if code in FATAL else ""

    def take_turn(self) -> None:
        """Wait for our turn, by the rate and by what the server asked for."""
        with self.lock:
            turn = max(time.monotonic(), self.next_turn)
            self.next_turn = turn + self.interval
        time.sleep(max(0.0, turn - time.monotonic()))

    def rest(self, tried: int, gap: Gap, pause: float) -> None:
        """Everybody rests when the server says for how long; else only we do, longer each time."""
        own = 0.0 if pause else min(self.wait * 2 ** (tried - 1), 60.0) * random.uniform(0.5, 1)
        if (seconds := round(pause + own)) >= 5:
            say(tell(*GAPS[gap.code]).split(":")[0] + tell(f"; next try in {seconds} s", f"; de nuevo en {seconds} s"))
        with self.lock:
            self.next_turn = max(self.next_turn, time.monotonic() + pause)
        time.sleep(own)

    def judge(self, error: Exception) -> tuple[Gap, float]:
        """A fault as a gap, and the seconds that the server asked to wait."""
        if isinstance(error, Gap):
            return error, 0.0
        if not isinstance(error, openai.APIStatusError):
            return Gap("garbled" if isinstance(error, (ValueError, RecursionError)) else "unreachable"), 0.0
        status, said, named = error.status_code, inside(error.body, str, "message"), inside(error.body, str, "code")
        code = BY_STATUS.get(status, "failing" if status >= 500 or status in (408, 409) else "refused")
        if named == "insufficient_quota":
            code = "quota"
        elif code == "missing" and (not said or named == "unknown_url"):
            code = "not_offered"
        said = "" if code == "key" else self.redact(said)  # a refusal of the key quotes some of it
        return Gap(code, status, said), asked_to_wait(error.response.headers)

    def redact(self, text: str) -> str:
        """What the server said, without keys, control characters or length."""
        return re.sub(r"\b(sk|sess)-[\w*.-]+", "***", clean(text.replace(self.client.api_key, "***")))[:200]


def as_object(answer: object) -> Object:
    if not isinstance(answer, dict):
        raise Gap("garbled")
    return answer


def asked_to_wait(headers: Mapping[str, str]) -> float:
    """`retry-after-ms`, or `retry-after` in seconds or as a date by the server's clock; else 0."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) / unit)
    with suppress(KeyError, ValueError, TypeError, IndexError):
        until, since = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
        return max(0.0, (until - since).total_seconds())
    return 0.0


def connect(options: argparse.Namespace) -> Api:
    """A server that accepts the environment's key, whose form is checked here: errors further down would quote it."""
    variable = "AZURE_OPENAI_API_KEY" if options.azure_endpoint else "OPENAI_API_KEY"
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise Refused(tell(f"{variable} holds no key", f"{variable} no contiene una clave"))
    common: Any = {"api_key": key, "max_retries": 0, "timeout": openai.Timeout(60.0, connect=15.0)}
    try:
        if options.azure_endpoint:
            azure: Any = {"azure_endpoint": options.azure_endpoint, "api_version": options.api_version}
            client: openai.OpenAI = openai.AzureOpenAI(**azure, **common)
        else:
            client = openai.OpenAI(base_url=options.base_url, **common)
        if not re.match("https?://[^/]", str(client.base_url)):
            raise ValueError
    except (openai.OpenAIError, ValueError, httpx.InvalidURL):
        raise Refused(tell("that is no http(s) address", "esa no es una dirección http(s)")) from None
    api = Api(client, rate=options.rate, tries=options.tries, wait=options.wait)
    if code := api.closed():
        whole = tell("what was saved is whole", "lo guardado está entero")
        raise Refused(f"{api.server}: {tell(*GAPS[code])}; {whole}")
    return api


def open_folder(path: Path, api: Api) -> Folder:
    """The folder, ours alone; refused when the server is another, or knows nothing of what lies there."""
    folder = Folder(path).load()  # before anything is written, and again when nobody else can
    folder.hold()
    folder.load()
    if folder.about.get("server", api.server) != api.server or not knows_ours(folder, api):
        english = "holds another account, project or server (or all of it was deleted there): use another --folder"
        spanish = "es de otra cuenta, proyecto o servidor (o allí se borró todo): use otra --folder"
        raise Refused(f"{path} " + tell(english, spanish))
    folder.describe(server=api.server, tool=f"afina-rescue {__version__}")
    return folder


def knows_ours(folder: Folder, api: Api) -> bool:
    """Whether the server knows one of our objects: of whom a key is, servers say in many ways or not at all."""
    paths: list[str] = []
    for name in ("jobs", "files", "evals", "chats"):
        stored = folder.objects(f"{name}.jsonl", *folder.pages(f"{name}.jsonl"))
        paths += [f"{LISTS[name]}/{part(item['id'])}" for item in islice(stored, 3)]
    return not paths or any(api.try_get(path) not in ("missing", "not_offered") for path in paths)


def run_all(what: str, tasks: list[Task], threads: int) -> None:
    """All tasks of a round, a few at a time, and how far they are; the first that refuses ends the others."""
    pool, begun, said = ThreadPoolExecutor(max(1, threads)), time.monotonic(), 0.0
    try:
        futures = [pool.submit(task) for task in tasks]
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            said = show_progress(f"{what} {number}/{len(tasks)}", begun, said, number / len(tasks))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def show_progress(line: str, begun: float, said: float, share: float) -> float:
    """One moving line on a terminal, elsewhere a line now and then; when it was last shown."""
    moving, moment = sys.stderr.isatty(), time.monotonic()
    if share < 1 and moment - max(said, begun) < (0.1 if moving else 10.0):
        return said
    left = round((moment - begun) * (1 / share - 1))
    left = f"{left} s" if left < 100 else f"{left // 60} min" if left < 6000 else f"{left / 3600:.1f} h"
    line += tell(f", {left} left", f", faltan {left}") if share < 1 else ""
    say(line, end="" if moving and share < 1 else "\n")
    return moment


# ---- save -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Rescue:
    """Everything that a key may read, into a folder, in three rounds: each asks for what the one before has listed."""

    api: Api
    folder: Folder
    threads: int
    names: list[str]

    def run(self) -> None:
        """All three rounds; what cannot be had is named in the folder."""
        self.folder.begin_pass()
        lists = [partial(self.save_list, f"{name}.jsonl", LISTS[name], name, final=False) for name in self.names]
        run_all(tell("lists", "listas"), lists, self.threads)
        run_all(tell("contents", "contenidos"), list(self.contents()), self.threads)
        run_all(tell("eval items", "elementos"), list(self.rest()), self.threads)
        self.folder.compact()
        shutil.rmtree(self.folder.path / "pages", ignore_errors=True)
        self.folder.describe(finished_at=now())

    def contents(self) -> Iterator[Task]:
        """What belongs to each thing listed; evals end first, so they come first."""
        for ident in self.idents("evals"):
            name, path = f"evals/{safe(ident)}/runs.jsonl", f"/evals/{part(ident)}/runs"
            yield partial(self.save_list, name, path, ident, final=False)
        for file in self.listed("files"):
            yield partial(self.save_content, file)
        for job in self.listed("jobs"):
            for what in ("events", "checkpoints"):
                name, path = f"jobs/{safe(job['id'])}/{what}.jsonl", f"{LISTS['jobs']}/{part(job['id'])}/{what}"
                yield partial(self.save_list, name, path, job["id"], final=inside(job, str, "status") in TERMINAL)
        for ident in self.idents("chats"):
            path = f"{LISTS['chats']}/{part(ident)}/messages"
            yield partial(self.save_list, f"chats/{safe(ident)}.jsonl", path, ident, final=True)

    def rest(self) -> Iterator[Task]:
        """Items of eval runs, and files that jobs and runs name but no list: deleted, or of another project."""
        users: dict[str, list[str]] = {}
        for ident in self.idents("evals"):
            for run in self.folder.objects(f"evals/{safe(ident)}/runs.jsonl"):
                name = f"evals/{safe(ident)}/runs/{safe(run['id'])}.jsonl"
                path = f"/evals/{part(ident)}/runs/{part(run['id'])}/output_items"
                yield partial(self.save_list, name, path, run["id"], final=inside(run, str, "status") in TERMINAL)
                users.setdefault(inside(run, str, "data_source", "source", "id"), []).append(run["id"])
        for job in self.listed("jobs"):
            for ident in (job.get("training_file"), job.get("validation_file"), *inside(job, list, "result_files")):
                users.setdefault(ident if isinstance(ident, str) else "", []).append(job["id"])
        if "files" in self.names:
            for ident in sorted(users.keys() - {"", *self.idents("files")}):
                yield partial(self.save_unlisted, ident, users[ident])

    def listed(self, name: str) -> Iterator[Object]:
        return self.folder.objects(f"{name}.jsonl") if name in self.names else iter(())

    def idents(self, name: str) -> Iterator[str]:
        return (item["id"] for item in self.listed(name))

    def save_list(self, name: str, path: str, ident: str, *, final: bool) -> None:
        """All pages of a list as one file; those of an unfinished one wait aside, and it goes on after the last."""
        facts = {"source": path, "final": final}
        if self.folder.done(name, facts):
            return
        pages, last = self.folder.pages(name), list[Object]()
        seen = [item["id"] for item in self.folder.objects(*pages)]
        try:
            for fresh, more in self.api.pages(path, after=seen[-1] if seen else "", seen=set(seen)):
                if more:
                    pages.append(f"pages/{name}/{len(pages):06}.jsonl")
                    self.folder.put(pages[-1], map(as_line, fresh))
                else:
                    last = fresh
        except Gap as gap:
            gap.code = "not_offered" if gap.code == "missing" and ident in LISTS else gap.code
            self.folder.miss(name, gap, "list", ident, source=path)
            if pages:
                self.folder.put(f"{name}.partial", map(as_line, self.folder.objects(*pages)))
            return
        items = chain(self.folder.objects(*pages), last)
        self.folder.store(name, map(as_line, items), facts)

    def save_content(self, file: Object) -> None:
        """The bytes of one file, as many as its object says; results come in base64, which it may not count."""
        name, source = f"files/{safe(file['id'])}/content", f"/files/{part(file['id'])}/content"
        facts, size = {"source": source, "final": True}, inside(file, int, "bytes")
        sizes, most = ((size, -(-size // 3) * 4), 2 * size + (1 << 20)) if size else ((), inf)
        if not self.folder.done(name, facts):
            try:
                self.api.ask(lambda: self.folder.store(name, self.api.read(source, most), facts, sizes))
            except Gap as gap:
                since, expires = day(file.get("created_at")), day(file.get("expires_at"))
                if gap.code in ("missing", "refused") and "" < expires <= day(time.time()):
                    gap.code, since = "expired", expires
                self.folder.miss(name, gap, "file", file["id"], filename=inside(file, str, "filename"), date=since)

    def save_unlisted(self, ident: str, users: list[str]) -> None:
        """A file by its id alone; where it is gone, the gap says who needed it, and since when."""
        name, source = f"files/{safe(ident)}/file.json", f"/files/{part(ident)}"
        facts = {"source": source, "final": True}
        if not self.folder.done(name, facts):
            try:
                self.folder.store(name, [as_line(self.api.get(source))], facts)
            except Gap as gap:
                since = [day(job.get("created_at")) for job in self.folder.objects("jobs.jsonl") if job["id"] in users]
                self.folder.miss(name, gap, "file", ident, used_by=sorted(users), date=min(since, default=""))
        if self.folder.state(name) == "saved":
            self.save_content({**next(self.folder.objects(name)), "id": ident})


# ---- goldens ----------------------------------------------------------------------------------------------------
class Question(NamedTuple):
    """One prompt to one model, for one of several samples; `body` is the request."""

    model: str
    prompt: str
    sample: int
    body: Object

    @property
    def name(self) -> str:
        digest = hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:8]
        return f"goldens/{safe(self.model)}/{safe(self.prompt)}.{self.sample}.{digest}.json"

    @property
    def most(self) -> float:
        """The dollars that it can cost: a token is a byte at least, and no more come out than were asked for."""
        messages, (_last, per_in, per_out) = self.body["messages"], fate_of(self.model)
        tokens = len(as_line([messages, self.body.get("tools")])) + MESSAGE_TOKENS * len(messages)
        contents = [m["content"] for m in messages if isinstance(m.get("content"), list)]
        tokens += PART_TOKENS * sum(inside(piece, str, "type") != "text" for content in contents for piece in content)
        return (tokens * per_in + self.body["max_completion_tokens"] * per_out) / 1e6


class Goldens:
    """Answers of models to prompts, within caps over all runs of a folder: set aside first, then spent."""

    def __init__(self, api: Api, folder: Folder, *, usd: float, requests: float):
        self.facts: Object = {"source": LISTS["chats"], "final": True}
        self.api, self.folder, self.lock = api, folder, threading.Lock()
        spent = [record for name, record in folder.records.items() if name.startswith("goldens/")]
        self.usd_left = usd - sum(record.get("usd", 0) for record in spent)
        self.requests_left = requests - sum(record.get("requests", 0) for record in spent)
        self.omitted: dict[str, set[str]] = {}
        self.gaps: dict[str, Gap] = {}

    def run(self, questions: list[Question], threads: int) -> None:
        """Ask what was not asked yet; what is missing in the end is one gap a model."""
        unasked = [question for question in questions if not self.folder.done(question.name, self.facts)]
        most = f"{sum(question.most for question in unasked):.4f}"
        say(tell(f"{len(unasked)} answers, at most ${most}", f"{len(unasked)} respuestas, como mucho {most} $"))
        if unasked and not (self.requests_left >= 1 and self.usd_left >= min(question.most for question in unasked)):
            raise Refused("--max-usd, --max-requests: " + tell("too small for one answer", "no dan para una respuesta"))
        tasks: list[Task] = [partial(self.answer, question) for question in unasked]
        run_all(tell("answers", "respuestas"), tasks, threads)
        for model in {question.model for question in questions}:
            missing = sum(q.model == model and self.folder.state(q.name) != "saved" for q in questions)
            gap = self.gaps.get(model, Gap("unreachable"))
            self.folder.miss(f"goldens/{safe(model)}", gap, "goldens", model, missing=missing)
        self.folder.compact()

    def answer(self, question: Question) -> None:
        """Ask until answered, without the settings that the server refuses. A model that is gone is asked once."""
        omitted = set(self.omitted.get(question.model, ()))
        while question.model not in self.gaps or self.gaps[question.model].code != "silent":
            body = {key: value for key, value in question.body.items() if key not in omitted}
            if "max_completion_tokens" in omitted:
                body["max_tokens"] = question.body["max_completion_tokens"]
            try:
                self.keep(question, body, *self.api.ask(partial(self.attempt, question, body)))
                self.omitted[question.model] = omitted
                return
            except Gap as gap:
                refused = {key for key in body for name in OMITTABLE if name in key and name in gap.said}
                refused = refused or {key for key in body if "logprobs" in key}  # the least common, where none is named
                omitted |= refused
                if gap.status != 400 or not refused:
                    gap.code = "silent" if gap.code in ("missing", "not_offered", "expired") else gap.code
                    self.gaps[question.model] = gap
                    return

    def attempt(self, question: Question, body: Object) -> tuple[Object, float]:
        """One request, in the journal before it leaves: a killed run must not forget what it may have spent."""
        self.charge(question, question.most, 1)
        begun = time.monotonic()
        try:
            return self.api.post(LISTS["chats"], body), time.monotonic() - begun
        except openai.APIStatusError:  # an error costs nothing; after a cut line nobody knows
            self.charge(question, -question.most, 0)
            raise

    def charge(self, question: Question, usd: float, requests: int) -> None:
        """Set aside what one request may cost, or give some of it back."""
        with self.lock:
            if requests and (usd > self.usd_left or requests > self.requests_left):
                raise Gap("budget")
            self.usd_left -= usd
            self.requests_left -= requests
        before = self.folder.records.get(question.name, {})
        spent = {"usd": before.get("usd", 0) + usd, "requests": before.get("requests", 0) + requests}
        self.folder.record(question.name, {"state": "asked", **spent})

    def keep(self, question: Question, body: Object, response: Object, seconds: float) -> None:
        """The answer beside its request; what was set aside becomes what it cost."""
        usage = response.get("usage")
        usd = question.most  # where the server does not say what it took
        if isinstance(usage, dict):
            _last, per_in, per_out = fate_of(question.model)
            usd = (
                inside(usage, int, "prompt_tokens") * per_in + inside(usage, int, "completion_tokens") * per_out
            ) / 1e6
        self.charge(question, usd - question.most, 0)
        about = {"model": question.model, "prompt_id": question.prompt, "sample": question.sample, "asked_at": now()}
        omitted = sorted(question.body.keys() - body.keys())
        took = {"latency_seconds": round(seconds, 3), "usd": usd, "omitted": omitted}
        spent = {key: self.folder.records[question.name][key] for key in ("usd", "requests")}
        golden = as_line({**about, **took, "request": body, "response": response})
        self.folder.store(question.name, [golden], {**self.facts, **spent})


def questions_of(options: argparse.Namespace, prompts: Mapping[str, Object], models: list[str]) -> list[Question]:
    """First samples first, so that a small budget buys something of everything."""
    settings = {"temperature": options.temperature, "max_completion_tokens": options.max_tokens, "store": False}
    settings |= {"logprobs": True, "top_logprobs": 5}
    questions: list[Question] = []
    for sample in range(options.samples):
        for ident, prompt in prompts.items():
            body = {**prompt, **settings, "seed": options.seed + sample}
            questions += [Question(model, ident, sample, {"model": model, **body}) for model in models]
    return questions


def read_prompts(path: Path, system: str) -> dict[str, Object]:
    """Prompts by their id: lines of `{"id", "messages"}`, with a `system` or `tools` if they have them."""
    prompts, number = dict[str, Object](), 0
    try:
        for line in path.read_bytes().splitlines():
            number += 1
            if not line.strip():
                continue
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair cannot be sent
            first = [{"role": "system", "content": row.get("system") or system}]
            sound = isinstance(row["id"], str) and row["id"] not in prompts and row["messages"]
            if not sound or not all(isinstance(message["role"], str) for message in row["messages"]):
                raise ValueError
            messages = (first if first[0]["content"] else []) + row["messages"]
            prompts[row["id"]] = {"messages": messages, **({"tools": row["tools"]} if row.get("tools") else {})}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        about = tell("must be, with an id of its own,", "debe ser, con su propio id,")
        shape = '{"id": "...", "messages": [{"role": "...", "content": "..."}]}'
        raise Refused(f"{path}:{number}: {about} {shape}") from None
    if not prompts:
        raise Refused(f"{path}: {tell('holds no prompts', 'no tiene preguntas')}")
    return prompts


# ---- inventory, and the report ----------------------------------------------------------------------------------
def tunes_of(found: Mapping[str, Iterable[Object]]) -> list[tuple[str, Object, Object]]:
    """Every fine-tune by its name, as the models have it and as the jobs have it; either may be empty."""
    listed = {model["id"]: model for model in found["models"] if model["id"].startswith("ft:")}
    made_by = {job["fine_tuned_model"]: job for job in found["jobs"] if inside(job, str, "fine_tuned_model")}
    names = sorted({*made_by, *(name for name in listed if ":ckpt-" not in name)})
    return [(name, listed.get(name, {}), made_by.get(name, {})) for name in names]


def fate_of(model: str) -> tuple[str, float, float]:
    """The row of TUNES for a model's base, which may have a date after its name."""
    base = model.split(":")[1] if model.startswith("ft:") else model
    return next((row for name, row in TUNES.items() if f"{base}-".startswith(f"{name}-")), UNKNOWN)


def until(when: str, today: date) -> str:
    """A date with the days that are left; the server may have said it, so it may be none."""
    try:
        days = (date.fromisoformat(when) - today).days
    except ValueError:
        return tell("no date known", "sin fecha conocida")
    return f"{when}, " + (tell(f"{days} days left", f"quedan {days} días") if days >= 0 else tell("over", "ya pasó"))


def overview(found: dict[str, list[Object]], today: date, sources: set[str]) -> dict[str, Any]:
    """Tables by their titles: what ends when, all fine-tunes and whether their training files are among `sources`."""
    tunes: list[Any] = []
    for name, model, job in tunes_of(found):
        owner = inside(model, str, "owned_by") or inside(job, str, "organization_id")
        last = inside(model, str, "shutdown_date") or fate_of(inside(job, str, "model") or name)[0]
        fate = tell("NO REPLACEMENT: its training file is missing", "SIN REEMPLAZO: falta su archivo de entrenamiento")
        if inside(job, str, "training_file") in sources:
            fate = tell("retrain from its training file", "reentrenar con su archivo de entrenamiento")
        made = day(job.get("created_at") or model.get("created"))
        tunes.append((name, owner, job.get("id", ""), made, until(last, today), fate))
    return {
        tell("What ends", "Qué acaba"): [(until(when, today), tell(*what)) for when, *what in ENDINGS],
        tell("Fine-tuned models", "Modelos afinados"): tunes,
        tell("All", "Todo"): [counted(name, items) for name, items in found.items()],
    }


def counted(name: str, items: list[Object]) -> tuple[str, ...]:
    """How many there are, of which kinds, how large, and when the first of them expire."""
    key = {"files": "purpose", "jobs": "status", "models": "owned_by", "chats": "model"}.get(name, "object")
    kinds = [f"{number} {kind}" for kind, number in Counter(str(item.get(key)) for item in items).most_common(9)]
    size = sum(inside(item, int, "bytes") for item in items)
    expiring = sorted(filter(None, (day(item.get("expires_at")) for item in items)))
    kinds += [f"{size // 10**6} MB"] if size else []
    kinds += [tell("expiring: ", "caducan: ") + f"{len(expiring)}, {expiring[0]}..."] if expiring else []
    return name, str(len(items)), ", ".join(kinds)


HTML = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><style>
body {{ font: 16px/1.5 sans-serif; max-width: 64rem; margin: 2rem auto }} table {{ border-collapse: collapse }}
td {{ border-bottom: 1px solid #ccc; padding: .3rem .6rem; vertical-align: top; overflow-wrap: anywhere }}
</style></head><body><h1>{title}</h1><p>{about}</p>{body}</body></html>
"""


def write_report(folder: Folder, today: date) -> None:
    """One page without scripts or anything from elsewhere: what to do next, gaps, dates, everything counted."""
    saved = {name: record["bytes"] for name, record in folder.records.items() if record["state"] == "saved"}
    found = {name: list(folder.objects(f"{name}.jsonl")) for name in LISTS}
    found["goldens"] = [{"object": name.split("/")[1]} for name in saved if name.startswith("goldens/")]
    gaps = [gap_row(gap) for gap in folder.gaps()]
    wanted = {inside(job, str, "training_file") for job in found["jobs"]}
    sources = {ident for ident in wanted if f"files/{safe(ident)}/content" in saved}
    tables = {tell("What to do next", "Qué hacer ahora"): list(next_steps(folder, found))}
    tables |= {tell("Gaps", "Faltan") + f": {len(gaps)}": gaps, **overview(found, today, sources)}
    files = f"{len(saved)} {tell('files', 'archivos')}, {sum(saved.values())} bytes"
    about = f"{folder.about.get('server')}, {today}: {files}"
    body = ""
    for title, table in tables.items():
        cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in table)
        body += f"<h2>{html.escape(title)}</h2><table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
    title = tell("What was rescued", "Lo que se rescató")
    page = HTML.format(lang=LANGUAGE, title=title, about=html.escape(about), body=body)
    folder.put("report.html", [page.encode("utf-8", "replace")])


def gap_row(gap: Object) -> tuple[str, ...]:
    """What is missing, who needed it, why and what helps, since when, and what the server said."""
    what = " ".join(str(gap.get(key) or "") for key in ("kind", "id", "filename", "missing"))
    said = f"{gap['status'] or ''} {gap['said']}"
    return what, ", ".join(gap.get("used_by", [])), tell(*GAPS[gap["code"]]), gap.get("date") or gap["at"][:10], said


def next_steps(folder: Folder, found: Mapping[str, list[Object]]) -> Iterator[tuple[str, str]]:
    """What a person does now, in this order."""
    codes = Counter(gap["code"] for gap in folder.gaps())
    if again := sum(codes[code] for code in (*PASSING, "forbidden", "budget")):
        yield str(again), tell("gaps may close: start again", "aún pueden obtenerse: empiece de nuevo")
    if lost := sum(codes[code] for code in ("missing", "expired", "refused")):
        yield str(lost), tell("cannot be had: look for your own copies", "no pueden obtenerse: busque copias propias")
    if tunes_of(found) and not found["goldens"]:
        yield "goldens", tell("keep answers while your models answer", "guarde respuestas mientras respondan")
    yield "2", tell("copies of this folder, in two places", "copias de esta carpeta, en dos lugares")
    yield "afina", tell("retrain on your own hardware", "reentrene en sus propias máquinas")


# ---- The command ------------------------------------------------------------------------------------------------
def inventory(options: argparse.Namespace, today: date) -> int:
    """Everything listed is shown, nothing is written."""
    api = connect(options)
    found, gaps = take_inventory(api, [name for name in LISTS if name not in options.without])
    for title, table in overview(found, today, {file["id"] for file in found["files"]}).items():
        print(f"\n{title}", *("  " + clean("  ".join(row)) for row in table), sep="\n")
    return 1 if gaps else 0


def take_inventory(api: Api, names: list[str]) -> tuple[dict[str, list[Object]], dict[str, Gap]]:
    """All top-level lists in memory, and those that could not be read to their end, which are said."""
    found, gaps = {name: list[Object]() for name in LISTS}, dict[str, Gap]()
    for name in names:
        try:
            for fresh, _more in api.pages(LISTS[name], after="", seen=set()):
                found[name] += fresh
        except Gap as gap:
            gaps[name] = Gap("not_offered") if gap.code == "missing" else gap
            say(f"! {name}: {tell(*GAPS[gaps[name].code])}")
    return found, gaps


def save(options: argparse.Namespace, today: date) -> int:
    """Everything into the folder, and the report."""
    api = connect(options)
    folder = open_folder(options.folder, api)
    Rescue(api, folder, options.threads, [n for n in LISTS if n not in options.without]).run()
    return report(options, today)


def goldens(options: argparse.Namespace, today: date) -> int:
    """Answers within a budget into the folder, and the report."""
    if options.samples < 1 or options.max_tokens < 1:
        raise Refused("--samples, --max-tokens: >= 1")
    capped = options.max_requests < inf
    if options.max_usd == inf and not capped:
        raise Refused("--max-usd, --max-requests: " + tell("give one of them", "dé uno de ellos"))
    prompts, api = read_prompts(options.prompts, options.system), connect(options)
    folder = open_folder(options.folder, api)
    tunes = [] if options.model else tunes_of(take_inventory(api, ["models", "jobs"])[0])
    models = list(dict.fromkeys(options.model)) or [name for name, _model, _job in tunes]
    if not models:
        raise Refused("--model: " + tell("name one, no fine-tunes found", "dé uno, no se hallaron afinados"))
    unknown = [model for model in models if not capped and fate_of(model) is UNKNOWN]
    if unknown:
        raise Refused(tell("no price, give --max-requests: ", "sin precio, dé --max-requests: ") + ", ".join(unknown))
    caps = {"usd": options.max_usd, "requests": options.max_requests}
    Goldens(api, folder, **caps).run(questions_of(options, prompts, models), options.threads)
    return report(options, today)


def report(options: argparse.Namespace, today: date) -> int:
    """The page, and for whoever started us the first gaps."""
    folder = Folder(options.folder).load()
    if "server" not in folder.about:  # a page in an empty folder would keep `save` out of it
        raise Refused(f"{folder.path}: " + tell("nothing is saved here", "aquí no hay nada guardado"))
    write_report(folder, today)
    gaps = folder.gaps()
    for gap in gaps[:20]:
        say("! " + "; ".join(filter(str.strip, gap_row(gap))))
    say(tell(f"{len(gaps)} gaps", f"faltan {len(gaps)}") + f"; {folder.path / 'report.html'}")
    return 1 if gaps else 0


COMMANDS: Any = (
    (inventory, "show what there is, until when; writes nothing", "mostrar qué hay y hasta cuándo; no escribe nada"),
    (save, "save everything; started again, it goes on", "guardarlo todo; iniciado de nuevo, continúa"),
    (goldens, "keep your models' answers to your prompts", "guardar respuestas de sus modelos a sus preguntas"),
    (report, "write report.html once more; asks nobody", "escribir report.html otra vez; no pregunta a nadie"),
)
MANY = {"action": "append", "default": []}
OPTIONS: Any = (  # first the letters with which the commands begin that have it
    ("sgr", "--folder", {"type": Path, "default": Path("rescued")}, "where to save", "dónde guardar"),
    ("isg", "--base-url", {}, "any server with OpenAI's API", "cualquier servidor con la API de OpenAI"),
    ("isg", "--azure-endpoint", {}, "Azure, with AZURE_OPENAI_API_KEY", "Azure, con AZURE_OPENAI_API_KEY"),
    ("isg", "--api-version", {"default": "2024-10-21"}, "Azure's API version", "versión de la API de Azure"),
    ("isg", "--rate", {"type": float, "default": 10.0}, "requests a second; 0: no limit", "peticiones/s, 0: sin tope"),
    ("isg", "--tries", {"type": int, "default": 8}, "attempts for each request", "intentos por petición"),
    ("isg", "--wait", {"type": float, "default": 0.5}, "seconds to the second attempt", "segundos antes de repetir"),
    ("isg", "--threads", {"type": int, "default": 4}, "requests at once", "peticiones a la vez"),
    ("is", "--without", {**MANY, "choices": list(LISTS)}, "leave this out", "omitir esto"),
    ("g", "--prompts", {"type": Path, "required": True}, 'lines of {"id", "messages"}', 'líneas de {"id", "messages"}'),
    ("g", "--model", MANY, "this model instead of all fine-tunes", "este modelo en vez de todos los afinados"),
    ("g", "--samples", {"type": int, "default": 1}, "answers to each prompt", "respuestas a cada pregunta"),
    ("g", "--system", {"default": ""}, "system prompt, where a prompt has none", "mensaje de sistema, si falta"),
    ("g", "--temperature", {"type": float, "default": 0.0}, "of the answers", "de las respuestas"),
    ("g", "--max-tokens", {"type": int, "default": 512}, "of each answer", "de cada respuesta"),
    ("g", "--seed", {"type": int, "default": 0}, "of the first sample", "de la primera muestra"),
    ("g", "--max-usd", {"type": float, "default": inf}, "most to spend, over all runs", "gasto máximo en total"),
    ("g", "--max-requests", {"type": int, "default": inf}, "most of them, over all runs", "peticiones en total"),
)


def parser() -> argparse.ArgumentParser:
    """The commands and their options, explained in the language spoken."""
    about = tell("Save what OpenAI switches off.", "Guarde lo que OpenAI apaga.") + " OPENAI_API_KEY=..."
    top = argparse.ArgumentParser("afina-rescue", description=about)
    commands = top.add_subparsers(required=True, metavar=tell("COMMAND", "ORDEN"))
    for run, *texts in COMMANDS:
        command = commands.add_parser(run.__name__, help=tell(*texts), description=tell(*texts))
        command.set_defaults(run=run)
        for letters, flag, settings, *explained in OPTIONS:
            if run.__name__[0] in letters:
                command.add_argument(flag, help=tell(*explained), **settings)
    return top


def main() -> None:
    """0: all is saved; 1: there are gaps; 2: refused, or stopped by what a line says; 130: interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(errors="replace")  # a name may hold what a terminal cannot
    options = parser().parse_args()
    try:
        code = options.run(options, datetime.now(timezone.utc).date())
        sys.stdout.flush()
    except (Refused, OSError) as error:
        say(f"afina-rescue: {reason(error) if isinstance(error, OSError) else error}")
        code = 2
    except KeyboardInterrupt:
        say(tell("interrupted; start again to go on", "interrumpido; empiece de nuevo para seguir"))
        code = 130
    os._exit(code)  # not waiting for threads that listen to a slow server: the folder is whole at any moment


if __name__ == "__main__":
    main()
