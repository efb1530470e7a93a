"""Whatever is done in whatever order: the ledger stays sound and the champion is the last completed transition's."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import InvalidInput
from tasks.loader import champion_of
from tasks.promotion import promote_by_hand, rollback
from tasks.promotion_ledger import examine
from tests.tasks.conftest import NAME, copied

VERSIONS = st.sampled_from(["1", "2", "3", "4"])
OPERATIONS = st.one_of(
    st.tuples(st.just("decide"), VERSIONS, st.sampled_from(["PROMOTE", "HOLD", "REJECT"]), st.booleans()),
    st.tuples(st.just("override"), VERSIONS),
    st.tuples(st.just("rollback")),
)


@given(operations=st.lists(OPERATIONS, min_size=2, max_size=6))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_sequence_of_operations(operations, template, tmp_path_factory):
    place = copied(template, tmp_path_factory)
    client, reign = place.client, []
    decided = set()
    for operation, *rest in operations:
        champion = reign[-1] if reign else None
        try:
            if operation == "decide":
                version, decision, is_current = rest
                expected = champion if is_current else "17"
                outcome = place.decide(version, decision, over=expected)
                assert (outcome.action == "refuse") <= (decision == "PROMOTE" and not is_current)
                promoted = outcome.action == "promoted" and outcome.changed
                decided.add(version)
            elif operation == "override":
                version = rest[0]
                promoted = promote_by_hand(client, place.settings, name=NAME, version=version, why="w").changed
            else:
                rollback(client, place.settings, name=NAME, why="w")
                reign.pop()
                promoted = False
        except InvalidInput:
            assert (operation == "override" and rest[0] not in decided) or (operation == "rollback" and len(reign) < 2)
            continue
        if promoted and version != champion:
            reign.append(version)
    found = examine(client, place.settings, NAME)
    assert found.findings == ()
    assert found.standing.champion == found.aliases.get("champion") == (reign[-1] if reign else None)
    assert found.standing.previous == found.aliases.get("previous") == (reign[-2] if len(reign) > 1 else None)
    served = champion_of(client, place.settings, NAME)
    assert (served.version if served else None) == found.standing.champion
