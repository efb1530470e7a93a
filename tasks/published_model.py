"""An encrypted model as an MLflow model from code: queries in, answers out, both bytes, nothing unpickled.

This file travels with the artifact; MLflow runs it where somebody loads the model with `mlflow.pyfunc`. `troth serve`
does not: it reads the `.npz` beside it and checks signatures, which MLflow's own scoring server knows nothing of.
"""

from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from components.encryption import read_model


class AnsweringModel(PythonModel):
    """One user's model."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = read_model(Path(context.artifacts["model"]).read_bytes())

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict | None = None):
        """A column `answer` for a column `query`."""
        return pd.DataFrame({"answer": [self.model.answer(query) for query in model_input["query"]]})


set_model(AnsweringModel())
