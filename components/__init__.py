"""The algorithms: plain Python that knows neither Prefect nor MLflow and can be used and tested alone."""
