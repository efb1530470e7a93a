"""How a model treats groups of people: error by group with intervals, intersections, and independent rows."""

from components.data.independence import one_row_per_person
from components.fairness.group_error import GroupMetric, group_metrics
from components.fairness.intersections import Cell, cells

__all__ = ["Cell", "GroupMetric", "cells", "group_metrics", "one_row_per_person"]
