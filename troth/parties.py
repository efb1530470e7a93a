"""`troth parties`: certificates and addresses of those who train together without pooling their data."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Set up the parties of secret-shared training: keys, certificates, addresses.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Folder = Annotated[Path, typer.Argument(help="The folder of parties.yaml, keys and certificates.")]


@app.command()
def init(
    folder: Folder,
    owner: Annotated[list[str], typer.Option(help="A data owner; repeat for each, two at least.")],
    dealer: Annotated[str, typer.Option(help="Who deals randomness; no owner may run it.")] = "dealer",
    analyst: Annotated[
        str | None, typer.Option(help="The owner who may open the model; the first unless told.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Where an owner listens, name=address:port; this machine unless told.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds of silence after which a party is given up.")
    ] = 30,
) -> None:
    """Make an authority, and a key and certificate for every party, in a new folder. Never replaces anything.

    **Example**

    `troth parties init parties --owner hospital --owner insurer --host insurer=10.0.0.7:7102`
    """
    from components.mpc.parties import FILE, OFFLINE, make_parties
    from troth.terminal import console

    hosts = dict(_host(text) for text in host or [])
    parties = make_parties(folder, owner, dealer=dealer, analyst=analyst, hosts=hosts, timeout=timeout)
    lines = [f"wrote {folder / FILE}; '{parties.analyst}' may open the model"]
    for member in (*parties.owners, parties.dealer):
        files = f"{FILE}, {parties.authority.name}, {member.certificate.name} and {member.key.name}"
        lines.append(f"· {parties.title(member.name)}: give its machine {files}")
    lines += [
        f"· move {folder / OFFLINE} to a medium kept offline: whoever has it can pose as any party",
        f"then, on each machine: troth parties check {folder} --as NAME",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


@app.command()
def check(
    folder: Folder,
    name: Annotated[str | None, typer.Option("--as", help="The party this machine is; all files unless told.")] = None,
) -> None:
    """Say what would keep the parties from meeting: files, ports, others' answers. Exit code 2 on any error.

    **Example**

    `troth parties check parties --as hospital`
    """
    from components.mpc.parties import read_parties
    from components.mpc.parties_check import inspect_parties
    from troth.terminal import console

    findings = inspect_parties(read_parties(folder), name)
    for finding in sorted(findings, key=lambda one: one.severity):
        style = "red" if finding.severity == "error" else "yellow"
        console.print(f"{finding.severity}: {finding.sentence}", markup=False, soft_wrap=True, style=style)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(2)
    who = f"'{name}'" if name else "all parties"
    console.print(f"{folder}: the files of {who} are in order", markup=False, soft_wrap=True)


def _host(text: str) -> tuple[str, tuple[str, int]]:
    """The parts of name=address:port; an IPv6 address may stand in brackets."""
    from components.errors import InvalidInput

    name, equals, place = text.partition("=")
    address, colon, port = place.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not (name and equals and address and colon and port.isdecimal()):
        raise InvalidInput(f"--host {text} is not name=address:port; write it like --host insurer=10.0.0.7:7102")
    return name, (address, int(port))
