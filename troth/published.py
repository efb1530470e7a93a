"""`troth publish`: a champion encrypted for its users; and what is said of it wherever that happens."""

from collections.abc import Sequence
from typing import Annotated

import typer

from troth.terminal import console


def publish(
    model: Annotated[str, typer.Argument(help="A registered model with a champion, such as rand_hie.")],
    user: Annotated[list[str] | None, typer.Option(help="For whom; repeat for each. Users it has stay.")] = None,
    mode: Annotated[str, typer.Option(help="order, or hidden: a thousand times dearer, and blind to order.")] = "order",
    bits: Annotated[int, typer.Option(help="Of the Paillier modulus in mode order: 3072 or 2048.")] = 3072,
    cut_points: Annotated[str, typer.Option(help="What users are told of cut points: decoys or untold.")] = "decoys",
    leakage: Annotated[bool, typer.Option(help="Show every attack that was run against the artifacts.")] = False,
) -> None:
    """Encrypt the champion for users, and for all who ask an older one. What is live already stays.

    **Examples**

    `troth publish rand_hie --user ada --user bob`

    `troth publish rand_hie --user ada --mode hidden --leakage`
    """
    from components.gates.policy import Publishing
    from troth.session import stores

    wanted = {}
    if user:
        from components.data.schema import validated

        options = {"users": tuple(user), "mode": mode, "bits": bits, "cut_points": cut_points}
        plan = validated(Publishing, options, "troth publish")
    settings, client = stores()
    from tasks.publications import Scheme, publish_champion

    if user:
        wanted = dict.fromkeys(plan.users, Scheme(plan.mode, plan.bits, plan.cut_points))
    with console.status(f"encrypting the champion of {model} …"):
        done = publish_champion(client, settings, model, wanted=wanted)
    show_published(done, leakage=leakage)
    if not done:
        console.print(f"nobody asks {model} yet; name users: troth publish {model} --user NAME", markup=False)


def republish(client, settings, model: str) -> None:
    """After a change of champion: the users of the old one get the new one."""
    from tasks.publications import publish_champion

    show_published(publish_champion(client, settings, model))


def show_published(done: Sequence, *, leakage: bool = False) -> None:
    """One line a user, and if wanted the attacks."""
    from rich.table import Table

    for one in done:
        word = "is live now" if one.changed else "was live already"
        text = f"{one.source} for {one.user}: version {one.version} of {one.name} {word} (epoch {one.epoch})"
        console.print(text, markup=False, soft_wrap=True)
        if leakage:
            table = Table("attack", "success", "bound", box=None, padding=(0, 2, 0, 2))
            for name, (success, bound) in one.leaks.items():
                table.add_row(name, f"{success:.1%}", f"{bound:.1%}" if bound < 1 else "none")
            console.print(table)


def show_encrypted(models: Sequence) -> None:
    """Who may ask which model; nothing where nobody may."""
    from rich.table import Table

    if not models:
        return
    table = Table("encrypted", "user", "live", "epoch", "made of", "state", box=None, padding=(0, 2, 0, 0))
    for one in models:
        style = None if one.state == "live" else "red"
        table.add_row(
            one.model,
            one.user,
            f"v{one.version}" if one.version else "–",
            one.epoch,
            one.source,
            one.state,
            style=style,
        )
    console.print()
    console.print(table)
