"""Imported by the fork servers of tests: MLflow's stores, their tables mapped, which takes each process seconds."""

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from sqlalchemy.orm import configure_mappers

configure_mappers()
