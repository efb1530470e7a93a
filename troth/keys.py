"""`troth keys`: a user's own keys, made by the user; and the proxy's word on who may ask encrypted models."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Keys for encrypted prediction: made by users, issued, rotated and revoked by the proxy.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

User = Annotated[str, typer.Argument(help="The user's name.")]
Days = Annotated[float, typer.Option(min=0.001, max=36500, help="How long the keys are good for.")]


@app.command()
def new(
    user: User,
    folder: Annotated[Path | None, typer.Option(help="Where the keys go; a folder of the user's name.")] = None,
    passphrase: Annotated[bool, typer.Option(help="Ask for a passphrase, or take TROTH_PASSPHRASE.")] = False,
) -> None:
    """Make a user's keys, on the user's machine, and a card for the proxy.

    **Example**

    `troth keys new ada --passphrase`
    """
    from components.encryption.user import CARD_FILE, make_user
    from troth.destination import folder_at
    from troth.terminal import console

    folder = folder or Path(user)
    if not folder.exists():
        folder_at(folder.parent)
        folder.mkdir(mode=0o700)
    make_user(folder_at(folder), user, passphrase=_passphrase(twice=True) if passphrase else None)
    console.print(f"made the keys of '{user}' in {folder}; nobody else may have them", markup=False, soft_wrap=True)
    console.print(
        f"give {folder / CARD_FILE} to the proxy, so that it is sure whose it is", markup=False, soft_wrap=True
    )


@app.command()
def issue(
    user: User,
    card: Annotated[Path, typer.Option(help="The card the user gave you.")],
    days: Days = 365,
    out: Annotated[Path | None, typer.Option(help="The grant to write, for the user.")] = None,
) -> None:
    """Enrol a user, and write the grant by which the user's machine knows this proxy.

    **Example**

    `troth keys issue ada --card ada/user.card`
    """
    from components.encryption.user import GRANT_FILE, read_card
    from components.errors import InvalidInput
    from troth.destination import destination
    from troth.session import prepared

    given = read_card(card)
    if given.user != user:
        raise InvalidInput(f"{card} is the card of '{given.user}', not of '{user}'; ask for the right one")
    settings = prepared(published=True)
    from tasks.proxy import enrolment_of, grant_for
    from tasks.publications import last_epoch
    from troth.terminal import console

    out = destination(out or Path(f"{user}.grant"))
    grant = grant_for(settings, user)
    made = enrolment_of(settings).issue(given, days=days, after=last_epoch(settings, user))
    out.write_text(grant.text())
    console.print(f"'{user}' has keys of epoch {made.epoch}, good until {_date(made.expires)}", markup=False)
    where = f"give {out} to the user, as {GRANT_FILE} beside the keys"
    console.print(f"{where}; then: troth publish MODEL --user {user}", markup=False, soft_wrap=True)


@app.command("list")
def list_users() -> None:
    """Show users, epochs, and when keys end.

    **Example**

    `troth keys list`
    """
    import time

    from rich.table import Table

    from troth.session import proxy

    settings = proxy()
    from tasks.proxy import enrolment_of
    from troth.terminal import console

    users = enrolment_of(settings).users()
    if not users:
        console.print("nobody has keys yet; see 'troth keys issue --help'")
        return
    table = Table("user", "epoch", "state", "issued", "expires", box=None, padding=(0, 2, 0, 0))
    for one in users:
        table.add_row(one.user, str(one.epoch), one.state(time.time()), _date(one.issued), _date(one.expires))
    console.print(table)


@app.command()
def rotate(user: User, days: Days = 365) -> None:
    """Give a user keys of the next epoch, and publish the user's models again; the old keys end.

    Where it was cut short, say it again.

    **Example**

    `troth keys rotate ada`
    """
    from troth.session import stores

    settings, client = stores()
    from tasks.proxy import enrolment_of
    from tasks.publications import last_epoch, republish
    from troth.published import show_published
    from troth.terminal import console

    made = enrolment_of(settings).rotate(user, days=days, after=last_epoch(settings, user))
    console.print(f"'{user}' has keys of epoch {made.epoch}, good until {_date(made.expires)}", markup=False)
    republish(client, settings, user, tell=lambda one: show_published([one]))


@app.command()
def revoke(user: User) -> None:
    """End a user's access to every model.

    Where it was cut short, say it again; the next publication of a model does the same.

    **Example**

    `troth keys revoke ada`
    """
    from troth.session import stores

    settings, _ = stores()
    from tasks.proxy import enrolment_of
    from tasks.publications import withdraw
    from troth.terminal import console

    enrolment_of(settings).revoke(user)
    names = withdraw(settings, user)
    console.print(f"the keys of '{user}' are revoked; withdrawn: {', '.join(names) or 'nothing'}", markup=False)


@app.command("renew-master")
def renew_master(
    out: Annotated[Path, typer.Option(help="A folder for everybody's new grants.")],
    days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36500, help="How long the keys are good for; as long as the old ones unless told."),
    ] = None,
    anew: Annotated[
        bool, typer.Option(help="Replace the secret once more, though an earlier renewal is not finished.")
    ] = False,
) -> None:
    """Replace a master secret that was stolen: new keys for everybody, and everything published again.

    Users need their new grants, by a way that the thief does not control. Where it was cut short or something failed,
    say it again: it goes on under the secret that was made. Was that one stolen too, add --anew.

    **Example**

    `troth keys renew-master --out grants`
    """
    from troth.destination import folder_at
    from troth.session import stores

    settings, client = stores()
    from tasks.proxy import enrolment_of, grant_for
    from tasks.publications import active_users, begin_renewal, begun_renewal, end_renewal, last_epoch, republish
    from troth.published import show_published
    from troth.terminal import console

    out, before = folder_at(out), None if anew else begun_renewal(settings)
    if before is None:
        before = begin_renewal(settings)
    else:
        console.print("going on under the master secret that was made before; --anew makes another", soft_wrap=True)
    users = active_users(settings)
    for user, one in users.items():
        if one.epoch <= before.get(user, 0):
            enrolment_of(settings).rotate(user, days=days, after=last_epoch(settings, user))
        (out / f"{user}.grant").write_text(grant_for(settings, user).text())
    console.print(f"give everyone the grant in {out}, as user.grant beside the keys", markup=False, soft_wrap=True)
    republish(client, settings, *users, tell=lambda one: show_published([one]))
    end_renewal(settings)


def passphrase_for(folder: Path) -> str | None:
    """The passphrase of a user's keys, asked for where there is one."""
    from components.encryption.user import KEY_FILE, is_locked

    is_there = (folder / KEY_FILE).exists()
    return _passphrase() if is_there and is_locked(folder) else None


def _passphrase(*, twice: bool = False) -> str:
    import os

    return os.environ.get("TROTH_PASSPHRASE") or typer.prompt(
        "passphrase", hide_input=True, confirmation_prompt=twice, err=True
    )


def _date(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
