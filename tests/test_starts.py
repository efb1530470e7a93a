"""What is started often, on each owner's machine and for each step, imports none of the libraries that take seconds."""

import subprocess
import sys

import pytest

SLOW = ("mlflow", "xgboost", "torch", "sklearn", "pandas", "matplotlib", "scipy.special")


@pytest.mark.parametrize(
    "module",
    [
        "flows.owner",
        "components.mpc.process",
        "components.boosting.secret_shared.programs",
        "components.boosting.federated.process",
        "components.boosting.federated.programs",
        "components.boosting.federated.rating",
    ],
)
def test_owners_machines_start_without_what_they_do_not_need(module):
    code = f"import sys, {module}; print(*[name for name in {SLOW} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
