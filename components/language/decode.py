"""The best tags that make spans: no word goes on with a span that none before it began.

Each word's best tag alone breaks spans in two wherever one word is in doubt; the best of all sequences that can be is
found as fast (Viterbi 1967, over the tags of `Labels`, where only `I-x` asks anything of the tag before it). It reads
the logits and nothing else, so under private training it costs no privacy.
"""

import numpy as np


def decode(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each utterance the tags with the largest sum of scores, such that `I-x` follows `B-x` or `I-x` alone.

    Parameters
    ----------
    scores
        (B, W, S) of every word's tags, S in the order of `Labels.tags`: O, then B and I of each slot. Logits do: what
        is added to all tags of a word changes nothing.
    counts
        (B,) how many of the W places are words; the others' scores are not looked at.

    Returns
    -------
    (B, W) positions of tags, 0 where there is no word.
    """
    utterances, words, _ = scores.shape
    totals = np.array(scores, dtype=np.float64)
    before = np.zeros(scores.shape, dtype=np.int64)
    totals[:, :1, 2::2] = -np.inf
    begins, goes_on = np.arange(1, scores.shape[2], 2), np.arange(2, scores.shape[2], 2)
    for word in range(1, words):
        so_far = totals[:, word - 1]
        before[:, word] = so_far.argmax(axis=1)[:, None]
        before[:, word, 2::2] = np.where(so_far[:, goes_on] > so_far[:, begins], goes_on, begins)
        totals[:, word] += np.take_along_axis(so_far, before[:, word], axis=1)
    tags = np.zeros((utterances, words), dtype=np.int64)
    everyone = np.arange(utterances)
    for word in reversed(range(words)):
        is_last = word == counts - 1
        if word + 1 < words:
            tags[:, word] = before[everyone, word + 1, tags[:, word + 1]]
        tags[is_last, word] = totals[is_last, word].argmax(axis=1)
        tags[counts <= word, word] = 0
    return tags
