"""The application: rooms opened once, routers by resource, one shape for every error."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI

import afina
from afina.api import (
    admin_accounts,
    admin_keys,
    admin_projects,
    batches,
    chat,
    chat_exports,
    completions,
    conversations,
    costs,
    embeddings,
    errors,
    estimates,
    eval_runs,
    evals,
    files,
    fine_tuning,
    graders,
    headers,
    keys,
    models,
    moderations,
    pages,
    permissions,
    prices,
    responses,
    scores,
    stored_chats,
    uploads,
    usage,
    webhooks,
)
from afina.api.callers import Callers
from afina.api.rooms import Rooms
from afina.blobs import Blobs
from afina.graders.sandbox import Sandbox, missing
from afina.serving.router import Router
from afina.settings import Settings
from afina.store.database import Database

log = logging.getLogger(__name__)

JOINS = 2


def create_app(settings: Settings) -> FastAPI:
    """The server for one data directory, whose database has been upgraded and founded before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        database, blobs = Database(settings.database), Blobs(settings.data / "blobs")
        router = Router(database, blobs, settings)
        app.state.rooms = Rooms(
            settings, database, Callers(database), blobs, router, Sandbox(), CapacityLimiter(JOINS)
        )
        if reason := await asyncio.to_thread(missing):
            log.warning("python graders are not available reason=%s", reason)
        yield
        await router.close()
        database.close()

    app = FastAPI(
        title="Afina",
        version=afina.__version__,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    api = APIRouter(prefix="/v1")
    for resource in (files, uploads, batches, fine_tuning, models, chat, estimates, keys, scores):
        api.include_router(resource.router)
    for resource in (stored_chats, chat_exports, completions):
        api.include_router(resource.router)
    for resource in (responses, conversations, embeddings, moderations, graders, evals, eval_runs):
        api.include_router(resource.router)
    for resource in (permissions, webhooks, usage, costs, prices, admin_projects, admin_accounts, admin_keys):
        api.include_router(resource.router)
    app.include_router(api)
    app.include_router(pages.router)
    errors.install(app)
    headers.install(app)
    return app
