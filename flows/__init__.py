"""The pipelines: Prefect flows that only wire stages together, one file each.

Importing this package prepares the environment that Prefect and MLflow read at import, so that a shell, a worker and a
test that run the same flow find the same stores.
"""

from tasks.environment import prepare_environment
from tasks.settings import load_settings

prepare_environment(load_settings())
