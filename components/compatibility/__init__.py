"""Updates that keep faith with the model they replace: flips, and training that avoids them."""

from components.compatibility.flips import FlipCounts, count_flips

__all__ = ["FlipCounts", "count_flips"]
