"""What stands in the way of a run between parties, before anyone starts it."""

import datetime
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

from components.errors import InvalidInput
from components.parties.certificates import expires, faults, tls_context
from components.parties.file import OFFLINE, Aggregator, Dealer, Owner, Parties, listen

_SOON = datetime.timedelta(days=30)
_WAIT = 5.0
_OBJECTION = 1.0


@dataclass(frozen=True)
class Finding:
    """Something to put right (error), to look into (warning) or to know (note), in one sentence."""

    severity: Literal["error", "warning", "note"]
    sentence: str


def inspect_parties(parties: Parties, name: str | None = None) -> list[Finding]:
    """Look at the files of all members; or, as the member `name`, at its own, its port, and whether others answer."""
    members = [parties.member(name)] if name else parties.members
    found = [finding for member in members for finding in _files(member, parties)]
    offline = parties.authority.parent / OFFLINE
    if any(offline.glob("*.key")):
        found.append(
            Finding(
                "warning",
                f"{offline} is still here; whoever has its key can pose as any party: move it to a medium kept offline",
            )
        )
    if name and not any(finding.severity == "error" for finding in found):
        found += _links(parties, parties.member(name))
    return found


def require_own_files(parties: Parties, name: str) -> None:
    """Refuse to be the member `name` with files that no other member would take for its own.

    Raises
    ------
    InvalidInput
        Its certificate or key is missing, damaged, expired or of somebody else.
    """
    for finding in _files(parties.member(name), parties):
        if finding.severity == "error":
            raise InvalidInput(finding.sentence)


def _files(member: Owner | Dealer, parties: Parties) -> list[Finding]:
    wrong = faults(member.name, member.certificate, member.key, parties.authority)
    if wrong:
        return [Finding("error", sentence) for sentence in wrong]
    last = expires(member.certificate)
    if last - datetime.datetime.now(datetime.UTC) < _SOON:
        sentence = f"certificate {member.certificate} expires on {last:%Y-%m-%d}; make new ones before"
        return [Finding("warning", sentence)]
    return []


def _links(parties: Parties, member: Owner | Dealer) -> list[Finding]:
    found = []
    if isinstance(member, Owner):
        try:
            listen(member).close()
        except InvalidInput as error:
            found.append(Finding("error", str(error)))
    if isinstance(member, Aggregator):
        # It is dialled, and dials nobody.
        return found
    context = tls_context(serve=False, certificate=member.certificate, key=member.key, authority=parties.authority)
    context.set_alpn_protocols(["h2"])
    dialled = [*parties.owners, *([parties.aggregator] if parties.aggregator and isinstance(member, Owner) else [])]
    for one in dialled:
        if one.name != member.name and (finding := _reach(parties, one, context)):
            found.append(finding)
    return found


def _reach(parties: Parties, owner: Owner, context: ssl.SSLContext) -> Finding | None:
    title = parties.title(owner.name)
    try:
        raw = socket.create_connection((owner.address, owner.port), timeout=_WAIT)
    except socket.gaierror:
        return Finding("error", f"{title}: the address cannot be resolved; correct it in parties.yaml")
    except ConnectionRefusedError:
        return Finding("note", f"{title} is reached, and nothing listens there, as is right between programs")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return Finding("warning", f"{title} does not answer ({why}); start it, or correct its address or the firewall")
    try:
        with context.wrap_socket(raw, server_hostname=owner.name) as connection:
            # Objections to our certificate come only now; who has none waits for us to speak.
            connection.settimeout(_OBJECTION)
            connection.recv(1)
    except TimeoutError:
        return None
    except ssl.SSLCertVerificationError as error:
        return Finding("error", f"{title} shows another certificate ({error.verify_message}); give it its own files")
    except ssl.SSLError as error:
        why = (error.reason or str(error)).lower().replace("_", " ")
        return Finding("error", f"{title} refuses our certificate or speaks no TLS 1.3 ({why}); give both their files")
    except OSError:
        pass
    finally:
        raw.close()
    return Finding("warning", f"{title} answers and ends the connection; something else may listen there")
