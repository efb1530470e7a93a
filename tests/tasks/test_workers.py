"""Asking others through a Prefect server: what it is told of the pipeline's own credentials, and when it is gone."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    temporary_settings,
)

from tasks.workers import API_KEY, AUTH_STRING, _call_off_all, _client


@pytest.fixture
def server():
    """An HTTP server on this machine: its address, and the headers of every request it got."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/api", heard
        listening.shutdown()


def told(server: str | None, heard: list):
    with _client(server) as client:
        client.request("GET", "/health")
    return heard[-1]


def test_credentials_of_the_pipelines_own_server_go_to_no_other(server, monkeypatch):
    address, heard = server
    secrets = {PREFECT_API_AUTH_STRING: "own:secret", PREFECT_CLIENT_CUSTOM_HEADERS: {"X-Pass": "own"}}
    with temporary_settings({PREFECT_API_URL: "http://own.example.org:4200/api", **secrets}):
        headers = told(address, heard)
        assert "Authorization" not in headers
        assert "X-Pass" not in headers
        monkeypatch.setenv(API_KEY, "for-owners")
        assert told(address, heard)["Authorization"] == "Bearer for-owners"
        monkeypatch.setenv(AUTH_STRING, "for:owners")
        assert told(address, heard)["Authorization"].startswith("Basic ")
    with temporary_settings({PREFECT_API_URL: address, **secrets}):
        own = told(None, heard)["Authorization"]
        assert own.startswith("Basic ")
        assert told(f"{address}/", heard)["Authorization"] == own
        assert heard[-1]["X-Pass"] == "own"


def test_a_server_that_is_gone_changes_nothing_about_how_a_run_ends():
    with SyncPrefectClient("http://127.0.0.1:9/api") as client:
        _call_off_all(client, [uuid4(), uuid4()])
