"""Policies by name: `default` is deploy/policies/default.yaml; anything with a folder or an ending is a path."""

import hashlib
from pathlib import Path

from components.errors import InvalidInput
from components.gates import Policy, read_policy
from components.gates.groups import require_suits
from tasks.holdings import schema_of
from tasks.references import Data

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "policies"


def load_policy(name: str) -> Policy:
    """The policy of that name or path.

    Raises
    ------
    InvalidInput
        There is none (lists those there are), or it breaks a rule.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return read_policy(Path(name).expanduser())
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in FOLDER.glob("*.yaml")))
        raise InvalidInput(f"policy '{name}' does not exist; use one of {known}, or the path of a YAML file")
    return read_policy(path)


def require_judgeable(policy: Policy, data: Data) -> None:
    """Raise `InvalidInput`, before anything is trained, where the policy asks for groups that the data do not have."""
    schema = schema_of(data)
    require_suits(policy, schema.groups, schema.label)


def policy_digest(policy: Policy) -> str:
    """SHA-256 (hex) of what the policy says, whatever its file looks like."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
