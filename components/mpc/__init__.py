"""Computing on secret-shared numbers: additive shares over Z_2^64 for two or more parties, and a dealer.

Read in this order: `shared` and `ring` (what a secret is), `engine` (how a protocol is written once for parties and
dealer), `multiply`, `bits`, `compare`, `select` (what it is made of), then the rest. Nothing here knows what a tree is.
"""
