"""What a client must know of a model besides keys: the order of its features, and how margins become predictions.

The intercept is added here, after decryption, and not by the server.
"""

from dataclasses import dataclass

import numpy as np

from components.encryption.forest import Forest, predictions
from components.errors import InvalidInput


@dataclass(frozen=True)
class Meaning:
    """The public side of a model, for its user."""

    features: tuple[str, ...]
    categorical: np.ndarray
    """(F,) bool; values of such features are category codes."""
    link: str
    softmax: bool
    intercept: np.ndarray
    """(K,) float64."""

    @property
    def outputs(self) -> int:
        return len(self.intercept)

    def checked(self, rows: np.ndarray) -> np.ndarray:
        """`rows` as float32 (n, F), NaN where missing.

        Raises
        ------
        InvalidInput
            They are not n >= 1 rows of F numbers.
        """
        try:
            # What is beyond float32 is infinite, as it is to XGBoost.
            with np.errstate(over="ignore"):
                rows = np.asarray(rows, dtype=np.float32)
        except (TypeError, ValueError):
            raise InvalidInput(
                "the rows are not all numbers; encode categories as codes and missing values as NaN"
            ) from None
        if rows.ndim != 2 or rows.shape[1] != len(self.features) or not len(rows):
            raise InvalidInput(
                f"the rows have shape {rows.shape}; the model takes (n, {len(self.features)}), its features in order"
            )
        return rows

    def predict(self, margins: np.ndarray) -> np.ndarray:
        """Probabilities or values, as XGBoost's `predict` gives them."""
        return predictions(margins, link=self.link, softmax=self.softmax)

    def facts(self) -> dict:
        """As JSON."""
        return {
            "features": list(self.features),
            "categorical": self.categorical.tolist(),
            "link": self.link,
            "softmax": self.softmax,
            "intercept": self.intercept.tolist(),
        }


def meaning_of(forest: Forest) -> Meaning:
    """A forest's."""
    return Meaning(forest.features, forest.categorical, forest.link, forest.softmax, forest.intercept)


def meaning_from(facts: dict) -> Meaning:
    """Of what `facts` gave."""
    return Meaning(
        tuple(facts["features"]),
        np.array(facts["categorical"], dtype=bool),
        facts["link"],
        facts["softmax"],
        np.array(facts["intercept"], dtype=np.float64),
    )
