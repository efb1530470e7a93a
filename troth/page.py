"""`troth page`: a form for one patient on this machine, whose values leave it encrypted."""

from pathlib import Path
from typing import Annotated

import typer


def page(
    model: Annotated[str, typer.Argument(help="The model's name, such as rand_hie.")],
    keys: Annotated[Path, typer.Option(help="The folder of your keys and grant.")],
    server: Annotated[str, typer.Option(help="Where encrypted models are served.")] = "http://127.0.0.1:8180",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the page is shown, on this machine alone.")] = 8181,
    authority: Annotated[Path | None, typer.Option(help="PEM file that vouches for the server's certificate.")] = None,
) -> None:
    """Show a form for one patient; values are encrypted here and read nowhere else.

    **Example**

    `troth page rand_hie --keys ada --server https://models.example.org`
    """
    import uvicorn

    from components.encryption.client.page import WatchedClient, create_page
    from components.encryption.user import read_grant, read_user
    from components.errors import InvalidInput
    from troth.keys import passphrase_for
    from troth.terminal import console

    user = read_user(keys, passphrase=passphrase_for(keys))
    grant = read_grant(keys, user.user)
    with WatchedClient(server, model, user, grant, authority=str(authority) if authority else None) as client:
        app, address = create_page(client, client.open(), port=port)
        served = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
        console.print(f"open {address}", markup=False, soft_wrap=True)
        console.print("Ctrl-C ends it.", style="dim")
        try:
            served.run()
        except SystemExit:
            raise InvalidInput(f"port {port} is in use; end what uses it, or choose another --port") from None
        except KeyboardInterrupt:
            pass
