"""ADePT: an utterance as a short vector, noised, and written anew from it (Krishna et al., EACL 2021).

An auto-encoder reads words into z, and what is released is the decoder's answer to clip(z) + noise, which is as private
as the noised vector, length included. Noise follows `latent_noise`, with Habernal's correction. The auto-encoder is to
be trained on public utterances and words, or it would itself tell of those it read. The intent travels along as it is,
unprotected, and slots are lost: a rewritten utterance has none.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from components.data.texts.align import MOST_WORDS, words_of
from components.data.texts.corpus import Corpus
from components.errors import InvalidInput
from components.language.privatise.latent_noise import LatentNoise, Randomness
from components.language.vocabulary import PADDING, WordVocabulary

_END = PADDING


class Rewriter(nn.Module):
    """Words to a vector of `latent` numbers and back; ids are those of `vocabulary`, and 0 ends an utterance."""

    def __init__(self, vocabulary: WordVocabulary, *, latent: int, hidden: int, bound: float = 1.0):
        super().__init__()
        self.vocabulary, self.bound = vocabulary, bound
        self.embedding = nn.Embedding(len(vocabulary), hidden)
        self.encoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.to_latent = nn.Linear(hidden, latent)
        self.from_latent = nn.Linear(latent, hidden)
        self.decoder = nn.LSTM(hidden + latent, hidden, batch_first=True)
        self.output = nn.Linear(hidden, len(vocabulary))

    def encode(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T) ids and (B,) lengths to (B, latent), clipped."""
        states, _ = self.encoder(self.embedding(ids))
        last = states[torch.arange(len(ids)), lengths - 1]
        latent = self.to_latent(last)
        return latent * (self.bound / latent.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)

    def decode(self, latent: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """(B, T + 1, V) logits of the words and the end, given (B, T) ids of what comes before each."""
        begun = functional.pad(self.embedding(ids), (0, 0, 1, 0))
        steps = torch.cat([begun, latent[:, None].expand(-1, begun.shape[1], -1)], dim=2)
        states, _ = self.decoder(steps, self._start(latent))
        return self.output(states)

    @torch.no_grad()
    def write(self, latent: torch.Tensor) -> list[list[str]]:
        """The most likely words after each other, for each of (B, latent)."""
        state, before = self._start(latent), torch.zeros(len(latent), 1, self.embedding.embedding_dim)
        never = torch.zeros(len(self.vocabulary), dtype=torch.bool)
        never[1 : 1 + self.vocabulary.endings] = True  # ids of endings are no words
        chosen, ended = [], torch.zeros(len(latent), dtype=torch.bool)
        for place in range(MOST_WORDS):
            states, state = self.decoder(torch.cat([before, latent[:, None]], dim=2), state)
            logits = self.output(states[:, 0]).masked_fill(never, -torch.inf)
            if place == 0:
                logits[:, _END] = -torch.inf
            chosen.append(logits.argmax(dim=1))
            ended |= chosen[-1] == _END
            if ended.all():
                break
            before = self.embedding(chosen[-1])[:, None]
        return [self._until_the_end(row) for row in torch.stack(chosen, dim=1).tolist()]

    def _start(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = torch.tanh(self.from_latent(latent))[None]
        return state, torch.zeros_like(state)

    def _until_the_end(self, ids: list[int]) -> list[str]:
        ids = ids[: ids.index(_END)] if _END in ids else ids
        return [self.vocabulary.words[word - 1 - self.vocabulary.endings] for word in ids]


def words_said(public: Corpus) -> WordVocabulary:
    """The words of a corpus that is public (generated commands, say); the rest share one id."""
    words = {utterance.text[a:b].lower() for utterance in public.utterances for a, b in words_of(utterance.text)}
    return WordVocabulary(tuple(sorted("".join("0" if m.isdigit() else m for m in word) for word in words)), endings=1)


def train_rewriter(
    public: Corpus,
    *,
    seed: int,
    latent: int = 32,
    hidden: int = 128,
    noise: float = 0.0,
    epochs: int = 20,
    batch: int = 64,
    rate: float = 2e-3,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Rewriter:
    """An auto-encoder of `public` utterances; `noise` is the deviation its latent gets in training, to expect some.

    `on_epoch(number, loss)` is told the mean cross-entropy of a word.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        rewriter = Rewriter(words_said(public), latent=latent, hidden=hidden)
        optimiser = torch.optim.Adam(rewriter.parameters(), lr=rate)
        ids, lengths = _ids(rewriter.vocabulary, public)
        for number in range(1, epochs + 1):
            losses = []
            order = rng.permutation(len(public))
            for rows in (order[start : start + batch] for start in range(0, len(order), batch)):
                some, here = ids[rows, : lengths[rows].max()], lengths[rows]
                codes = rewriter.encode(some, here)
                codes = codes + noise * torch.randn_like(codes)
                logits = rewriter.decode(codes, some)
                wanted = functional.pad(some, (0, 1), value=_END)
                beyond = torch.arange(wanted.shape[1]) > here[:, None]
                loss = functional.cross_entropy(logits.transpose(1, 2), wanted.masked_fill(beyond, -100))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            if on_epoch is not None:
                on_epoch(number, float(np.mean(losses)))
    return rewriter.eval()


def rewrite(rewriter: Rewriter, corpus: Corpus, noise: LatentNoise, randomness: Randomness) -> Corpus:
    """Every utterance written anew from its noised vector; intents, groups, users and row ids stay, slots go.

    Raises
    ------
    InvalidInput
        The noise is for another clipping or another number of dimensions than the rewriter's.
    """
    latent = rewriter.to_latent.out_features
    if (noise.bound, noise.dimensions) != (rewriter.bound, latent):
        raise InvalidInput(
            f"noise is for {noise.dimensions} dimensions clipped to {noise.bound}; the rewriter has {latent}, "
            f"clipped to {rewriter.bound}"
        )
    ids, lengths = _ids(rewriter.vocabulary, corpus)
    with torch.no_grad():
        codes = rewriter.encode(ids, lengths).numpy()
    noised = torch.from_numpy(noise.add(codes, randomness)).float()
    written = (" ".join(words) for words in rewriter.write(noised))
    pairs = zip(corpus.utterances, written, strict=True)
    return Corpus(tuple(replace(utterance, text=text, slots=()) for utterance, text in pairs), corpus.grouping)


def _ids(vocabulary: WordVocabulary, corpus: Corpus) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, T) ids, 0 after the end, and (n,) lengths; words beyond the most are cut."""
    rows = []
    for utterance in corpus.utterances:
        words = [utterance.text[start:end] for start, end in words_of(utterance.text)[:MOST_WORDS]]
        rows.append(torch.tensor(vocabulary.encode(words)[0]))
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
