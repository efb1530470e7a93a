"""`troth predict --encrypted`: rows of a file, scored by a server that reads neither them nor the scores."""

from pathlib import Path

from components.errors import InvalidInput
from troth.keys import passphrase_for
from troth.terminal import errors

HERE = "http://127.0.0.1:8180"


def scores_of(model: str, data: Path, *, keys: Path | None, server: str | None, authority: Path | None):
    """Schema, rows and scores.

    Raises
    ------
    InvalidInput
        Keys are missing or do not fit, the rows are not the model's, or the server refuses.
    """
    from components.data.frame import features_of, unfamiliar
    from components.data.reading import read_rows, readable
    from components.encryption.client import EncryptedModelClient
    from components.encryption.user import read_grant, read_user

    if keys is None:
        raise InvalidInput(
            "--encrypted needs --keys FOLDER, where 'troth keys new' put your keys and you put the grant"
        )
    if model.startswith("models:/"):
        raise InvalidInput(f"a server knows models by name, not as '{model}'; give the name")
    readable(data)
    user = read_user(keys, passphrase=passphrase_for(keys))
    options = {"authority": str(authority) if authority else None}
    with EncryptedModelClient(server or HERE, model, user, read_grant(keys, user.user), **options) as client:
        opened = client.open()
        schema, terms = opened.schema, opened.terms
        errors.print(f"asking in mode {terms.mode}, with keys of epoch {terms.epoch}", style="dim", soft_wrap=True)
        rows = read_rows(data, schema).to_pandas()
        for sentence in unfamiliar(features_of(rows, schema, model=model)):
            errors.print(f"warning: {sentence}", style="yellow", markup=False, soft_wrap=True)
        return schema, rows, client.predict(rows)
