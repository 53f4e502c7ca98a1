"""What a browser and a watchdog see: a front page, and whether the server is ready."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

import afina
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.errors import Unavailable
from afina.graders import sandbox
from afina.store import hosts, projects

router = APIRouter(route_class=ThreadedRoute)

FRONT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Afina</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>Afina {version}</h1>
<p>A fine-tuning platform on your own hardware, with OpenAI's API. Nothing leaves this machine.</p>
<p>Point a client here:</p>
<pre>export OPENAI_BASE_URL={url}v1
export OPENAI_API_KEY=...</pre>
<p>Then upload a file, create a job and chat with the model that comes of it:</p>
<pre>client.files.create(file=open("rows.jsonl", "rb"), purpose="fine-tune")
client.fine_tuning.jobs.create(model="afina-tiny", training_file="file-...")
client.chat.completions.create(model="ft:...", messages=[...])</pre>
<p>State of this server: <a href="healthz">healthz</a>.</p>
</html>
"""


@router.get("/", response_class=HTMLResponse)
def front(request: Request) -> HTMLResponse:
    """What this is, and where to go: the address by which the browser came here."""
    return HTMLResponse(FRONT.format(version=afina.__version__, url=escape(str(request.base_url))))


@router.get("/healthz")
def health(rooms: InRooms) -> JSONResponse:
    """200 when requests can be answered, 503 with the reason when they cannot."""
    try:
        with rooms.database.system(read=True) as system:
            founded, statuses = bool(projects.every(system)), [host.status for host in hosts.every(system)]
    except Unavailable as error:
        return state(503, database=error.code or "unavailable", hosts={})
    counts = {status: statuses.count(status) for status in ("wanted", "starting", "ready")}
    return state(200 if founded else 503, database="ok" if founded else "empty", hosts=counts)


def state(status: int, *, database: str, hosts: dict[str, int]) -> JSONResponse:
    """The same five fields, well or not; without a boundary, python graders do not run."""
    body = {"status": "ok" if status == 200 else "unavailable", "version": afina.__version__}
    boundary = "none" if sandbox.missing() else "bubblewrap"
    return JSONResponse({**body, "database": database, "hosts": hosts, "sandbox": boundary}, status)
