"""Who holds what: plans that deal a table to owners, the owners' stores, and the join that pooled training needs."""

from components.partition.deal import Holding, Partition, deal, held
from components.partition.join import JoinCount, join_holdings
from components.partition.plan import (
    ByColumn,
    Crowd,
    Even,
    LabelSkew,
    Mixed,
    PartitionPlan,
    QuantitySkew,
    Single,
    Vertical,
)
from components.partition.store import HoldingRecord, open_holding, read_holding, write_holding

__all__ = [
    "ByColumn",
    "Crowd",
    "Even",
    "Holding",
    "HoldingRecord",
    "JoinCount",
    "LabelSkew",
    "Mixed",
    "Partition",
    "PartitionPlan",
    "QuantitySkew",
    "Single",
    "Vertical",
    "deal",
    "held",
    "join_holdings",
    "open_holding",
    "read_holding",
    "write_holding",
]
