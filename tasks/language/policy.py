"""What a policy may ask of texts, before anything is trained."""

from components.errors import InvalidInput
from components.gates import Policy
from tasks.language.course import Mode


def require_judgeable_texts(policy: Policy, mode: Mode, epsilon: float) -> None:
    """Raise `InvalidInput` where the policy asks what texts cannot answer, or more privacy than training promises."""
    if policy.golden_set:
        raise InvalidInput(f"policy '{policy.name}' asks for a golden set, which texts do not have; remove golden_set")
    if policy.publish:
        raise InvalidInput(f"policy '{policy.name}' asks to publish, but language models cannot be encrypted")
    for section, groups in (("groups", policy.groups), ("frames.groups", policy.frames and policy.frames.groups)):
        if groups and (groups.intersections > 1 or any(gap.metric != "error" for gap in groups.gap)):
            raise InvalidInput(
                f"policy '{policy.name}' asks in '{section}' for intersections or rates of one class; texts have one "
                "group and many intents, so ask for error gaps of single groups"
            )
    if mode == "plain" and policy.privacy and policy.privacy.epsilon is not None:
        raise InvalidInput(
            f"policy '{policy.name}' asks for epsilon {policy.privacy.epsilon:g}, and mode plain promises none; "
            "train in mode private, or use another policy"
        )
    if mode == "private" and policy.privacy and policy.privacy.epsilon is not None and epsilon > policy.privacy.epsilon:
        raise InvalidInput(
            f"'privacy.epsilon' is {epsilon:g}, and policy '{policy.name}' allows {policy.privacy.epsilon:g}; promise "
            "no more than that, or use another policy"
        )
