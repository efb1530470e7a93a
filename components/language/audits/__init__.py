"""Attacks on a language model by those who trained it: who was in the data, what was learnt by heart, what noise did.

`canaries` are planted in a twin, trained like the candidate on the same utterances and theirs; `membership` needs
references, trained like it on halves of a pool. What comes out is read from private data and is itself not private:
figures for the gate and the report, for the eyes of those who may see the data.
"""
