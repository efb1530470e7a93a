"""The connection between owners and aggregator: gRPC over TLS 1.3, a certificate on both ends, one stream an owner.

The owner dials, so only the aggregator needs an open port; on the stream it then waits for instructions. As long as
the stream is open the owner is there: HTTP/2 pings, answered by gRPC's own threads however busy Python is, end it when
the other end is gone or stopped. There is no protobuf: what travels is `frame`s.
"""

import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from socket import create_connection, gaierror

import grpc

from components.errors import InvalidInput
from components.federated.frame import Json, canonical
from components.parties.certificates import faults, tls_context

PROTOCOL = 4
"""Of the frames and their order; raised with every change that an older owner would misread."""

SERVICE, METHOD = "troth.Federation", "TakePart"
ALIKE = ("troth", "protocol", "members", "threshold")
"""Of a hello: what machines that take part in anything together have alike; the rest is of one run."""

HELLO, WELCOME, INSTRUCTION, ANSWER, END = "hello", "welcome", "instruction", "answer", "end"

LARGEST = 64 << 20
"""Octets of the largest frame."""

_WAIT, _OBJECTION = 5.0, 0.5


@dataclass(frozen=True)
class Files:
    """A party's certificate and key, and the certificate of the authority."""

    certificate: Path
    key: Path
    authority: Path

    def check(self, name: str) -> None:
        """Refuse files that cannot be used.

        Raises
        ------
        InvalidInput
            One is missing, damaged, of somebody else, or expired.
        """
        if found := faults(name, self.certificate, self.key, self.authority):
            raise InvalidInput(found[0])


def server_credentials(files: Files) -> grpc.ServerCredentials:
    """Those of the end that listens: who calls must show a certificate of the authority."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], files.authority.read_bytes(), require_client_auth=True)


def dial(address: str, aggregator: str, files: Files, *, timeout: float) -> grpc.Channel:
    """A channel to whoever has the aggregator's certificate at `address`."""
    credentials = grpc.ssl_channel_credentials(
        files.authority.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    named = [("grpc.ssl_target_name_override", aggregator), ("grpc.enable_retries", 0)]
    return grpc.secure_channel(address, credentials, options=[*options(timeout), *named])


def options(timeout: float) -> list[tuple[str, int]]:
    """What both ends want of a connection on which `timeout` seconds without a sign of life are too many."""
    half = max(200, int(500 * timeout))
    return [
        ("grpc.max_send_message_length", LARGEST),
        ("grpc.max_receive_message_length", LARGEST),
        ("grpc.keepalive_time_ms", half),
        ("grpc.keepalive_timeout_ms", half),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", half // 2),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", half // 4),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.so_reuseport", 0),
    ]


def caller(context: grpc.ServicerContext, members: Sequence[str]) -> str:
    """The member whose certificate a caller shows; anybody else is turned away here."""
    shown = context.auth_context()
    names = [value.decode("utf-8", "replace") for value in shown.get("x509_subject_alternative_name", ())]
    if shown.get("ssl_tls_version") != [b"TLSv1.3"]:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "only TLS 1.3 is spoken here")
    if len(names) != 1 or names[0] not in members:
        who = ", ".join(map(repr, names)) or "nobody"
        context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{who} is none of the members of this federation")
    return names[0]


def objection(address: str, aggregator: str, files: Files) -> tuple[str, bool]:
    """Why no connection comes about, as the end of a sentence, and whether waiting can help.

    gRPC says little about a failed handshake, so this one is Python's.
    """
    host, _, port = address.rpartition(":")
    context = tls_context(serve=False, certificate=files.certificate, key=files.key, authority=files.authority)
    context.set_alpn_protocols(["h2"])
    try:
        raw = create_connection((host.strip("[]"), int(port)), timeout=_WAIT)
    except gaierror:
        return "its address cannot be resolved; correct it", False
    except OSError as error:
        return f"does not answer ({(error.strerror or str(error)).lower()})", True
    remedy = "give every machine files of one 'troth parties init'"
    try:
        with context.wrap_socket(raw, server_hostname=aggregator) as connection:
            # Objections to our certificate come only now; who has none waits for us to speak.
            connection.settimeout(_OBJECTION)
            with suppress(TimeoutError):
                connection.recv(1)
    except ssl.SSLCertVerificationError as error:
        return f"shows another certificate than its own ({error.verify_message}); {remedy}", False
    except ssl.SSLEOFError:
        return "ends the connection", True
    except ssl.SSLError as error:
        why = (error.reason or str(error)).lower().replace("_", " ")
        return f"refuses our certificate or speaks no TLS 1.3 ({why}); {remedy}", False
    except OSError:
        pass
    finally:
        raw.close()
    return "answers, but no stream comes about", True


def difference(theirs: dict[str, Json], ours: dict[str, Json]) -> str | None:
    """The first thing on which two ends do not agree, as the end of a sentence about the other end."""
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            return f"has {key} = {_brief(theirs.get(key))} where here it is {_brief(ours.get(key))}"
    return None


def introduction(members: Iterable[str], threshold: int, agreement: Mapping[str, Json]) -> dict[str, Json]:
    """What an owner says in its hello beside its session, and the aggregator compares."""
    common = dict(zip(ALIKE, (version("troth"), PROTOCOL, sorted(members), threshold), strict=True))
    # As it arrives: JSON knows no tuples.
    return json.loads(canonical({**agreement, **common}))


def _brief(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
