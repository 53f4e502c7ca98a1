"""Uploads that are completed at the same time read all their bytes, and leave the server to others."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from afina.api import uploads as routes
from afina.api.app import JOINS

MANY = 45  # more than the server has threads for requests
NEW = {"filename": "rows.bin", "purpose": "assistants", "bytes": 1, "mime_type": "text/plain"}


def test_others_are_served_while_many_are_joined(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    inside, most, go, lock = 0, 0, threading.Event(), threading.Lock()
    join = routes.join

    def slow(*arguments):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        assert go.wait(60)
        with lock:
            inside -= 1
        return join(*arguments)

    monkeypatch.setattr(routes, "join", slow)
    made = client.post("/v1/uploads", json=NEW).json()["id"]
    part = client.post(f"/v1/uploads/{made}/parts", files={"data": ("part", b"a")}).json()["id"]

    def complete() -> str:
        return client.post(f"/v1/uploads/{made}/complete", json={"part_ids": [part]}).json()["status"]

    with ThreadPoolExecutor(MANY + 1) as pool:
        asked = [pool.submit(complete) for _ in range(MANY)]
        try:
            other = pool.submit(client.get, "/v1/files")
            assert other.result(timeout=30).status_code == 200
        finally:
            go.set()
        assert {one.result() for one in asked} == {"completed"}
    assert most == JOINS
