"""The user's side over HTTP: `EncryptedModelClient` and `AsyncEncryptedModelClient`, and a page for one patient."""

from components.encryption.client.exchange import RefusedByServer
from components.encryption.client.model import AsyncEncryptedModelClient, EncryptedModelClient

__all__ = ["AsyncEncryptedModelClient", "EncryptedModelClient", "RefusedByServer"]
