"""A private step against a plain one: ours, opacus's hooks, ghost mode and functorch, in time and memory.

    python benchmarks/private_language.py [--batches 64 256 2048] [--models bilstm transformer] [--device cuda]

Ours is the pipeline's own step, `PrivateTraining.step`, from the Poisson sample to the optimiser: sorted by length,
masks of dropout and noise on every weight from a secret keystream. The others are given batches of the expected size
and draw masks and noise from torch. Plain descent; 20 words, vocabulary of 8000, the same dropout for all. Figures are
medians, each in a process of its own; ratios are to the plain step of nn.LSTM and nn.Linear. `heads` are the
pipeline's default heads on features at hand, `encoder + heads` the same with the frozen encoder (MiniLM's size) run in
every step. On a processor: one thread, its time, and the peak of the process less what it held before its first step;
on cuda wall time and the peak of what torch held, with our noise and samples made on the processor. opacus's LSTM is
its own, with linear cells.
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
from components.language.frozen import FrozenModel
from components.language.heads import Heads
from components.language.model import FrozenParameters
from components.language.transformer import Encoder, Transformer
from components.privacy import BookKeeping, Plan, PrivateTraining, Utterances

WORDS, VOCABULARY, INTENTS, TAGS, ENCODER_WIDTH = 20, 8000, 42, 73, 384
SHAPE = FrozenParameters()
METHODS = ("plain", "ours", "hooks", "ghost", "functorch")
LARGEST = {"hooks": 256, "functorch": 256}
"""Batches above would take tens of gigabytes: a gradient of the whole model for each example."""


def model_of(kind: str, dropout: float) -> nn.Module:
    match kind:
        case "bilstm":
            return BiLSTM(nn.Embedding(VOCABULARY, 128), INTENTS, TAGS, width=128, hidden=128, dropout=dropout)
        case "transformer":
            return Transformer(
                VOCABULARY, INTENTS, TAGS, width=128, layers=2, heads=4, inner=512, positions=64, dropout=dropout
            )
    heads = Heads(
        SHAPE.width,
        INTENTS,
        TAGS,
        neighbours=SHAPE.neighbours,
        context=SHAPE.context,
        hidden=SHAPE.hidden,
        dropout=dropout,
    )
    if kind == "heads":
        return heads
    encoder = Encoder(
        VOCABULARY, width=ENCODER_WIDTH, layers=6, heads=12, inner=4 * ENCODER_WIDTH, positions=64
    ).requires_grad_(False)
    return FrozenModel(encoder, nn.Linear(len(SHAPE.layers) * ENCODER_WIDTH, SHAPE.width), heads, SHAPE.layers)


def batch_of(kind: str, size: int, device: str) -> tuple[torch.Tensor, ...]:
    """Inputs, mask, intents and tags."""
    words = torch.randint(0, VOCABULARY, (size, WORDS))
    inputs = torch.randn(size, WORDS, SHAPE.width) if kind == "heads" else words
    mask = torch.ones(size, WORDS, dtype=torch.bool)
    batch = inputs, mask, torch.randint(0, INTENTS, (size,)), torch.randint(0, TAGS, (size, WORDS))
    return tuple(part.to(device) for part in batch)


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
        optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], 1e-6)
        return (_plain if method == "plain" else _ours)(model, optimizer, batch)
    model = ModuleValidator.fix(model).train().to(mask.device)
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


def _ours(model, optimizer, batch):
    """As the pipeline takes it: a sample of twice as many utterances, each with probability one half."""
    inputs, mask, *targets = (torch.cat([part, part]) for part in batch)
    size = len(mask)

    def of_rows(model, rows):
        rows = rows.to(mask.device)
        return losses(model(inputs[rows], mask[rows]), *(target[rows] for target in targets))

    private = PrivateTraining(
        model,
        optimizer,
        of_rows,
        units=Utterances(size),
        plan=Plan((1.0,), 0.5, 1_000_000, 1e-6),
        engine=BookKeeping(lengths=np.full(size, WORDS)),
    )
    samples = private.epoch()
    return lambda: private.step(next(samples))


def measure(method: str, kind: str, size: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step, and the memory it took, in this process."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    on_processor = options.device == "cpu"
    clock = time.process_time if on_processor else _finished
    model = model_of(kind, options.dropout).to(options.device).train()
    step = step_of(method, model, batch_of(kind, size, options.device))
    before = memory("VmRSS") if on_processor else torch.cuda.memory_allocated() / 2**20
    step()
    times = []
    for _ in range(options.repeats):
        started = clock()
        step()
        times.append(clock() - started)
    peak = memory("VmHWM") if on_processor else torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": float(np.median(times)), "peak": peak - before}


def _finished() -> float:
    """The time, once everything that was asked of the device is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


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
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        method, kind, size = options.one
        print(json.dumps(measure(method, kind, int(size), options)))
        return
    what = "processor milliseconds a step on one thread" if options.device == "cpu" else "milliseconds a step"
    print(f"{what}, ratio to plain, peak MB; dropout {options.dropout:g}")
    print(f"{'model, batch':24}" + "".join(f"{name:>24}" for name in options.methods))
    for kind in options.models:
        for size in options.batches:
            cells, plain = [], float("nan")
            for method in options.methods:
                if size > LARGEST.get(method, size):
                    cells.append("-")
                    continue
                command = [sys.executable, __file__, "--one", method, kind, str(size)]
                command += [f"--{name}={getattr(options, name)}" for name in ("repeats", "dropout", "device")]
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
