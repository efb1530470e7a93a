"""One row per person: what makes the rows of a gate independent.

Several rows of one person err together, so tests that count rows find differences where there are none. The newest row
is kept, because a model in service meets people as they are now.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.table import Table


def one_row_per_person(table: Table) -> np.ndarray:
    """Indices, increasing, of each person's newest row; of the first in row order where no time is declared.

    Time is compared as the column's own type; a missing time counts as the oldest, and ties go to the earlier row.
    """
    columns, schema = table.columns, table.schema
    persons = columns[schema.person].combine_chunks().dictionary_encode(null_encoding="encode").indices
    order = np.arange(len(table))
    if schema.time is not None:
        keyed = pa.table({"time": columns[schema.time], "row": order})
        # Nulls are last unless asked otherwise, so a missing time counts as the oldest.
        order = pc.sort_indices(keyed, [("time", "descending"), ("row", "ascending")]).to_numpy()
    _, first = np.unique(persons.to_numpy(zero_copy_only=False)[order], return_index=True)
    return np.sort(order[first])
