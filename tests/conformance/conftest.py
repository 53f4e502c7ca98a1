"""The official client against a real server in a thread: the fixtures of the API's own tests."""

from api.conftest import database, founded, official, played, server, settings  # noqa: F401
