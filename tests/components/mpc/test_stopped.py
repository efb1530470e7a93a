"""A member that is run alone and called off, because another is known to have failed."""

import socket
import threading
import time

import pytest

from components.mpc.launch import run_party
from components.mpc.network import PartyLost
from components.mpc.programs import Job
from components.parties.file import make_parties


def test_a_member_that_waits_for_others_ends_when_it_is_told_to(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    make_parties(tmp_path / "parties", ["hospital", "insurer"], hosts={"hospital": ("127.0.0.1", port)}, gather=300)
    job = Job(
        program="components.boosting.secret_shared.programs:match",
        parties=tmp_path / "parties",
        name="hospital",
        agreement={},
        folder=tmp_path / "run",
    )
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    with pytest.raises(PartyLost, match="'hospital' was stopped"):
        run_party(job, stop=stop)
    assert time.monotonic() - started < 100
    with socket.create_server(("127.0.0.1", port)):
        pass
