"""`troth parties`: certificates and addresses of those who train together without pooling their data."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Set up owners who train together on machines of their own: keys, certificates, addresses.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

STYLE = {"error": "red", "warning": "yellow", "note": "dim"}
"""Of findings, the gravest first."""

Folder = Annotated[Path, typer.Argument(help="The folder of parties.yaml, keys and certificates.")]


@app.command()
def init(
    folder: Folder,
    owner: Annotated[list[str], typer.Option(help="A data owner; repeat for each, two at least.")],
    dealer: Annotated[str, typer.Option(help="Who deals randomness; no owner may run it.")] = "dealer",
    analyst: Annotated[
        str | None, typer.Option(help="The owner who may open the model; the first unless told.")
    ] = None,
    aggregator: Annotated[
        str | None, typer.Option(help="Who adds up masked sums in mode federated; best none of the owners.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(help="Owners that must be left for a masked sum; more than half unless told.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Where an owner or the aggregator listens, name=address:port; this machine unless told."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds of silence after which a party is given up.")
    ] = 30,
) -> None:
    """Make an authority, and a key and certificate for every party, in a new folder. Never replaces anything.

    **Example**

    `troth parties init parties --owner hospital --owner insurer --host insurer=10.0.0.7:7102`

    `troth parties init parties --owner north --owner east --owner west --aggregator adder`
    """
    from components.parties.file import FILE, OFFLINE, make_parties
    from troth.terminal import console

    hosts = dict(_host(text) for text in host or [])
    parties = make_parties(
        folder,
        owner,
        dealer=dealer,
        aggregator=aggregator,
        analyst=analyst,
        threshold=threshold,
        hosts=hosts,
        timeout=timeout,
    )
    lines = [f"wrote {folder / FILE}; '{parties.analyst}' may open the model"]
    for member in parties.members:
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
    """Say what would keep the parties from meeting: files, ports, others' answers; with --as this owner's table too.

    Exit code 2 on any error.

    **Example**

    `troth parties check parties --as hospital`
    """
    from components.parties.check import inspect_parties
    from components.parties.file import read_parties
    from tasks.member import FILE as OWNER
    from tasks.member import read_member
    from tasks.own_part import part_of
    from troth.terminal import console

    findings = inspect_parties(read_parties(folder), name)
    if name and (folder / OWNER).exists():
        part_of(read_member(folder, name=name))
    for finding in sorted(findings, key=lambda one: list(STYLE).index(one.severity)):
        style = STYLE[finding.severity]
        console.print(f"{finding.severity}: {finding.sentence}", markup=False, soft_wrap=True, style=style)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(2)
    who = f"'{name}'" if name else "all parties"
    console.print(f"{folder}: the files of {who} are in order", markup=False, soft_wrap=True)


@app.command()
def serve(
    folder: Folder,
    name: Annotated[str, typer.Option("--as", help="The owner, dealer or aggregator this machine is.")],
) -> None:
    """Take part as one member whenever the pipeline asks for it, until Ctrl-C. Needs owner.yaml and PREFECT_API_URL.

    It runs one flow, `take-part`, whatever the Prefect server says, and reads its table and its shares here alone.

    **Example**

    `PREFECT_API_URL=http://prefect.example.org:4200/api troth parties serve parties --as insurer`
    """
    import os
    import warnings

    from components.parties.check import require_own_files
    from tasks.member import VARIABLE, member_file, parties_of, read_member
    from tasks.own_part import part_of
    from troth.session import require_a_server
    from troth.terminal import console

    member = read_member(folder, name=name)
    require_own_files(parties_of(member), name)
    rows = part_of(member)
    if member.prefect:
        os.environ["PREFECT_API_URL"] = member.prefect
    require_a_server()
    os.environ[VARIABLE] = str(member_file(folder).resolve())
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", "2")
    from flows.owner import take_part
    from tasks.workers import end_left_over

    end_left_over(name)

    place = parties_of(member).title(name)
    brings = f"brings {len(rows):,} rows of {member.table}" if rows is not None else "brings no rows"
    console.print(f"{place} {brings}; it keeps what is its own in {member.store}", markup=False, soft_wrap=True)
    console.print(
        f"serving take-part/{name} at {os.environ['PREFECT_API_URL']}; Ctrl-C ends it", markup=False, soft_wrap=True
    )
    # Prefect's own way out on SIGTERM forgets to await itself.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop'", RuntimeWarning)
    take_part.serve(
        name=name,
        description=f"What {place} does when the pipeline asks",
        print_starting_message=False,
        # There is no schedule to pause, and the server may be gone, or another worker of this name go on.
        pause_on_shutdown=False,
    )


def _host(text: str) -> tuple[str, tuple[str, int]]:
    """The parts of name=address:port; an IPv6 address may stand in brackets."""
    from components.errors import InvalidInput

    name, equals, place = text.partition("=")
    address, colon, port = place.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not (name and equals and address and colon and port.isdecimal()):
        raise InvalidInput(f"--host {text} is not name=address:port; write it like --host insurer=10.0.0.7:7102")
    return name, (address, int(port))
