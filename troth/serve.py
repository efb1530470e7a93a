"""`troth serve`: answers encrypted queries, on a machine that needs no key and no plain model."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; this machine alone unless told.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="8180 unless told.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes, one a core.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; needed beyond this machine.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's key.")] = None,
) -> None:
    """Serve the live encrypted models of the registry over the Open Inference Protocol, until Ctrl-C.

    It follows the registry: promotions, rotations and revocations take effect within a second. Lines of JSON on
    standard output tell of every request, `/metrics` sums them up for Prometheus.

    **Examples**

    `troth serve`

    `troth serve --host 0.0.0.0 --port 443 --tls-certificate server.pem --tls-key server.key --workers 8`
    """
    from components.encryption.server import Serving, check
    from troth.session import prepared

    settings = prepared(published=True)
    told = settings.serving
    serving = Serving(
        folder=told.folder,
        host=host or told.host,
        port=port or told.port,
        workers=workers or told.workers,
        rows_a_minute=told.rows_a_minute,
        rows_a_day=told.rows_a_day,
        most_models=told.most_models,
        stale_seconds=told.stale_seconds,
        silent_seconds=told.silent_seconds,
        tls_certificate=str(tls_certificate) if tls_certificate else None,
        tls_key=str(tls_key) if tls_key else None,
    )
    check(serving)
    from tasks.serving import serve_published
    from troth.terminal import errors

    errors.print(f"serving at {serving.address}; Ctrl-C ends it", markup=False, soft_wrap=True)
    serve_published(settings, serving)
