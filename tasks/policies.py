"""Policies by name: `default` is deploy/policies/default.yaml; anything with a folder or an ending is a path."""

import hashlib
from pathlib import Path

from components.data.schema import Schema
from components.errors import InvalidInput
from components.gates import Policy, read_policy
from components.gates.groups import require_suits

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


def policy_for_tables(name: str) -> Policy:
    """The policy of that name or path, where it asks nothing that only language models answer.

    Raises
    ------
    InvalidInput
        As `load_policy`; or it asks for whole frames, or for privacy.
    """
    policy = load_policy(name)
    if section := next((section for section in ("frames", "privacy") if getattr(policy, section)), None):
        raise InvalidInput(
            f"policy '{policy.name}' has '{section}', which only language models are asked; remove it for a table"
        )
    return policy


def require_judgeable(policy: Policy, schema: Schema) -> None:
    """Raise `InvalidInput`, before any row is read, where a policy asks for groups that the schema does not declare."""
    require_suits(policy, schema.groups, schema.label)


def require_golden_rows(policy: Policy, golden: str | Path | None) -> None:
    """Raise `InvalidInput`, before anything is trained, for a golden set without rows, or rows that nothing judges."""
    if policy.golden_set and golden is None:
        raise InvalidInput(
            f"policy '{policy.name}' asks for a golden set and no file of golden rows is given, so it could never "
            "promote; give one (--golden), or a policy without golden_set"
        )
    if golden is not None and not policy.golden_set:
        raise InvalidInput(
            f"golden file {golden} is given, and policy '{policy.name}' has no golden_set to judge it by; leave it "
            "out, or add 'golden_set: {}' to the policy"
        )


def policy_digest(policy: Policy) -> str:
    """SHA-256 (hex) of what the policy says, whatever its file looks like."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
