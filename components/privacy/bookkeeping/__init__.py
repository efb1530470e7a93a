"""Exact per-example clipping in one backward pass, by book-keeping (Bu et al. 2022, 2210.00038).

Read `affine` first: linear maps are most of any model, and an LSTM and attention are linear maps of known inputs.
`rows` and `whole` are the other two kinds of use; `shared` joins several uses of one parameter; `tape` adds them up;
`recording` puts the rules of `linear`, `embedding`, `lstm`, `layer_norm` and `attention` in place.
"""

from components.privacy.bookkeeping.recording import bookkeeping
from components.privacy.bookkeeping.tape import Tape

__all__ = ["Tape", "bookkeeping"]
