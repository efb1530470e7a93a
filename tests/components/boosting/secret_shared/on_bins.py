"""What training on shares must give: XGBoost trained where all rows lie, on bins whose cuts come from all of them."""

import numpy as np
import xgboost

from components.boosting.parameters import BoostingParameters
from components.data.table import Table
from components.mpc.quantile import bin_indices, local_cuts


def as_matrix(table: Table, features: np.ndarray, labels: bool) -> xgboost.DMatrix:
    return xgboost.DMatrix(
        features,
        table.labels if labels else None,
        feature_names=list(table.schema.features),
        feature_types=table.feature_types,
        enable_categorical=True,
    )


def xgboost_on_bins(table: Table, parameters: BoostingParameters, scored: Table | None = None) -> np.ndarray:
    """Margins, of its own rows or of others, by XGBoost trained on the table's bins, with cuts from all of its rows."""

    def in_bins(rows: Table) -> xgboost.DMatrix:
        features = rows.features.copy()
        for position, kind in enumerate(table.feature_types):
            if kind == "q":
                cuts = local_cuts(table.features[:, position], parameters.max_bin)
                bins = bin_indices(features[:, position], cuts, 4095).astype(np.float32)
                features[:, position] = np.where(np.isnan(features[:, position]), np.nan, bins)
        return as_matrix(rows, features, labels=True)

    options = parameters.to_xgboost(table.schema.label) | {"max_bin": 4096, "max_cat_to_onehot": 64}
    booster = xgboost.train(options, in_bins(table), parameters.rounds)
    return booster.predict(in_bins(scored or table), output_margin=True)
