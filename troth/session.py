"""One pipeline run from a terminal: the story told, Prefect's start-up out of the way."""

from collections.abc import Iterator
from contextlib import contextmanager

from troth.terminal import tell_the_story


@contextmanager
def session() -> Iterator[None]:
    """While it lasts flows run in this process, against the server in use or an embedded one."""
    from tasks.environment import require_prefect

    require_prefect()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # Joining the heartbeat thread takes a second a flow; a person at the terminal sees for themselves whether it lives.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), tell_the_story():
        yield
