"""A private step against a plain one: ours, opacus's hooks, ghost mode and functorch, in processor time and memory.

    python benchmarks/private_language.py [--batches 64 256 2048] [--models bilstm transformer] [--repeats 7]

One thread; a step is forward, backward, clipping, noise on every weight and plain descent; 20 words, vocabulary of
8000. Figures are medians, each in a process of its own; ratios are to the plain step of nn.LSTM and nn.Linear. `heads`
are linear layers on features at hand, `encoder + heads` the same with the frozen encoder (MiniLM's size) run in every
step. The peak is that of the process less what it held before its first step. opacus's LSTM is its own, with linear
cells.
"""

import argparse
import json
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from opacus.validators import ModuleValidator
from torch import nn
from torch.nn import functional

from components.language.bilstm import BiLSTM
from components.language.heads import Heads
from components.language.transformer import Encoder, Transformer
from components.privacy.bookkeeping import bookkeeping
from components.privacy.clipping import Automatic, weights_of
from components.privacy.noise import with_noise
from components.privacy.randomness import SecureRandomness

WORDS, VOCABULARY, INTENTS, TAGS, WIDTH = 20, 8000, 42, 73, 384
METHODS = ("plain", "ours", "hooks", "ghost", "functorch")
LARGEST = {"hooks": 256, "functorch": 256}
"""Batches above would take tens of gigabytes: a gradient of the whole model for each example."""


class FrozenEncoder(nn.Module):
    """A frozen encoder of MiniLM's size under linear heads."""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder(VOCABULARY, width=WIDTH, layers=6, heads=12, inner=4 * WIDTH, positions=64)
        self.encoder.requires_grad_(False)
        self.heads = Heads(WIDTH, INTENTS, TAGS)

    def forward(self, tokens, mask):
        with torch.no_grad():
            features = self.encoder(tokens, mask)
        return self.heads(features, mask)


def model_of(kind: str) -> nn.Module:
    match kind:
        case "bilstm":
            return BiLSTM(VOCABULARY, INTENTS, TAGS, embedding=128, hidden=128, dropout=0.1)
        case "transformer":
            return Transformer(
                VOCABULARY, INTENTS, TAGS, width=128, layers=2, heads=4, inner=512, positions=64, dropout=0.1
            )
        case "heads":
            return Heads(WIDTH, INTENTS, TAGS)
        case _:
            return FrozenEncoder()


def batch_of(kind: str, size: int) -> tuple[torch.Tensor, ...]:
    """Inputs, mask, intents and tags."""
    words = torch.randint(0, VOCABULARY, (size, WORDS))
    inputs = torch.randn(size, WORDS, WIDTH) if kind == "heads" else words
    mask = torch.ones(size, WORDS, dtype=torch.bool)
    return inputs, mask, torch.randint(0, INTENTS, (size,)), torch.randint(0, TAGS, (size, WORDS))


def losses(outputs, intents, tags) -> torch.Tensor:
    """(B,) losses."""
    of_intents = functional.cross_entropy(outputs[0], intents, reduction="none")
    return of_intents + functional.cross_entropy(outputs[1].transpose(1, 2), tags, reduction="none").mean(1)


class Criterion:
    """The losses as opacus's ghost mode asks for them."""

    reduction = "mean"

    def __call__(self, outputs, targets):
        given = losses(outputs, *targets)
        return given if self.reduction == "none" else given.mean()


def step_of(method: str, model: nn.Module, batch: tuple):
    """One step of `method` as a function without arguments."""
    inputs, mask, *targets = batch
    size = len(mask)
    if method in ("plain", "ours"):
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(parameters, 1e-6)
        return _plain(model, optimizer, batch) if method == "plain" else _ours(model, optimizer, parameters, batch)
    model = ModuleValidator.fix(model).train()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    ghost = method == "ghost"
    if ghost:
        wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=1.0, use_ghost_clipping=True)
    else:
        wrapped = GradSampleModule(model, force_functorch=method == "functorch")
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], 1e-6)
    kind = DPOptimizerFastGradientClipping if ghost else DPOptimizer
    private = kind(optimizer, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=size)
    if ghost:
        criterion = DPLossFastGradientClipping(wrapped, private, Criterion())
        mean = lambda: criterion(wrapped(inputs, mask), targets)  # noqa: E731
    else:
        mean = lambda: losses(wrapped(inputs, mask), *targets).mean()  # noqa: E731

    def step():
        private.zero_grad()
        mean().backward()
        private.step()

    return step


def _plain(model, optimizer, batch):
    inputs, mask, *targets = batch

    def step():
        optimizer.zero_grad()
        losses(model(inputs, mask), *targets).mean().backward()
        optimizer.step()

    return step


def _ours(model, optimizer, parameters, batch):
    inputs, mask, *targets = batch
    randomness, clipping, size = SecureRandomness(), Automatic(), len(mask)

    def step():
        total = {}
        for start in range(0, size, 256):
            part = slice(start, start + 256)
            with bookkeeping(model, len(mask[part])) as tape:
                losses(model(inputs[part], mask[part]), *(target[part] for target in targets)).sum().backward()
            for parameter, gradient in tape.weighted_sum(weights_of(clipping, tape.norms())).items():
                total[parameter] = total[parameter].add_(gradient) if parameter in total else gradient
        noisy = with_noise(total, parameters, noise_multiplier=1.0, sensitivity=1.0, randomness=randomness)
        for parameter, gradient in noisy.items():
            parameter.grad = gradient.div_(size)
        optimizer.step()

    return step


def measure(method: str, kind: str, size: int, repeats: int) -> dict[str, float]:
    """Processor seconds of a step, and the memory it took, in this process."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step = step_of(method, model_of(kind), batch_of(kind, size))
    before = memory("VmRSS")
    step()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return {"seconds": float(np.median(times)), "peak": memory("VmHWM") - before}


def memory(field: str) -> float:
    """MB of this process; not from `getrusage`, where a process inherits the peak of the one that started it."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 2048])
    parser.add_argument("--models", nargs="+", default=["bilstm", "transformer", "heads", "encoder + heads"])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        method, kind, size = options.one
        print(json.dumps(measure(method, kind, int(size), options.repeats)))
        return
    print("processor milliseconds a step on one thread, ratio to plain, peak MB")
    print(f"{'model, batch':24}" + "".join(f"{name:>24}" for name in options.methods))
    for kind in options.models:
        for size in options.batches:
            cells, plain = [], float("nan")
            for method in options.methods:
                if size > LARGEST.get(method, size):
                    cells.append("-")
                    continue
                command = [
                    sys.executable,
                    __file__,
                    "--repeats",
                    str(options.repeats),
                    "--one",
                    method,
                    kind,
                    str(size),
                ]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    cells.append((done.stderr.strip().splitlines() or ["killed"])[-1][:22])
                    continue
                figures = json.loads(done.stdout)
                plain = figures["seconds"] if method == "plain" else plain
                cells.append(f"{1e3 * figures['seconds']:.0f} ({figures['seconds'] / plain:.2f}) {figures['peak']:.0f}")
            print(f"{f'{kind}, {size}':24}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
