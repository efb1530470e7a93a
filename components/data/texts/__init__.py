"""Texts with an intent and slots: what a corpus is, where it comes from, how it is divided."""

from components.data.texts.corpus import Corpus, Labels, Slot, Utterance

__all__ = ["Corpus", "Labels", "Slot", "Utterance"]
