"""The application: rooms opened once, routers by resource, one shape for every error."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

import afina
from afina.api import chat, errors, estimates, files, fine_tuning, headers, keys, models, pages, scores
from afina.api.rooms import Rooms
from afina.blobs import Blobs
from afina.serving.router import Router
from afina.settings import Settings
from afina.store.database import Database


def create_app(settings: Settings) -> FastAPI:
    """The server for one data directory, whose database has been upgraded and founded before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        database, blobs = Database(settings.database), Blobs(settings.data / "blobs")
        router = Router(database, blobs, settings)
        app.state.rooms = Rooms(settings, database, blobs, router)
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
    for resource in (files, fine_tuning, models, chat, estimates, keys, scores):
        api.include_router(resource.router)
    app.include_router(api)
    app.include_router(pages.router)
    errors.install(app)
    headers.install(app)
    return app
