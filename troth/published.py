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
    from components.encryption.enrolment import Scheme
    from tasks.publications import publish_champion

    if user:
        wanted = dict.fromkeys(plan.users, Scheme(plan.mode, plan.bits, plan.cut_points))
    with console.status(f"encrypting the champion of {model} …"):
        done = publish_champion(client, settings, model, wanted=wanted)
    show_published(done, leakage=leakage)
    if not done:
        console.print(f"nobody asks {model} yet; name users: troth publish {model} --user NAME", markup=False)


def republish(client, settings, model: str, version: str) -> None:
    """After a change of champion: the users of the old one get the new one, and those its own run meant it for."""
    from tasks.publications import publish_champion
    from tasks.publish_plan import keep_plan, plan_of

    wanted, without_keys = plan_of(settings, model, version)
    show_published(publish_champion(client, settings, model, wanted=wanted))
    for user, scheme in without_keys.items():
        options = f"--mode {scheme.mode} --bits {scheme.bits} --cut-points {scheme.cut_points}"
        console.print(
            f"not for {user}, whom the policy lists but who has no good keys; after 'troth keys issue' or 'rotate': "
            f"troth publish {model} --user {user} {options}",
            markup=False,
            soft_wrap=True,
        )
    keep_plan(settings, model, version, {})


def show_published(done: Sequence, *, leakage: bool = False) -> None:
    """One line a user, and if wanted the attacks."""
    from rich.table import Table

    for one in done:
        word = "is live now" if one.changed else "was live already"
        text = f"{one.source} for {one.user}: version {one.version} of {one.name} {word} (epoch {one.epoch})"
        console.print(text, markup=False, soft_wrap=True)
        if leakage:
            table = Table("attack", "success", "at most", box=None, padding=(0, 2, 0, 2))
            for name, (success, bound) in one.leaks.items():
                table.add_row(name, f"{success:.1%}", "measured" if bound is None else f"{bound:.1%}")
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
