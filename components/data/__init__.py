"""Tables with labels and groups: their schema, where they come from, and what can be wrong with them."""
