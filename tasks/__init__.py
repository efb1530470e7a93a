"""The stages: each a Prefect task that reads references, calls components, and records what came out in MLflow."""
