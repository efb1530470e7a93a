"""nn.LSTM, recorded: the recurrence written out once, with the gradients of all gates kept for all steps.

    (i, f, g, o)_t = W x_t + U h_{t-1} + c + c',   c_t = f c_{t-1} + i g,   h_t = o tanh c_t

The gradients of the gates, before their nonlinearities, are output gradients of a linear map of (x_t, h_{t-1}) whose
positions are the steps; so its norms and sums are those of `affine`, and the only loops over time are the recurrence
and its reverse. Padding at the end of an example leaves states at zero, as packing does.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from components.errors import InvalidInput
from components.privacy.bookkeeping.affine import Affine
from components.privacy.bookkeeping.tape import Tape

_sigmoid_backward = torch.ops.aten.sigmoid_backward
_tanh_backward = torch.ops.aten.tanh_backward


class _Direction(torch.autograd.Function):
    """One layer in one direction: (T, B, d) → outputs and cell states, (T, B, H) each."""

    @staticmethod
    def forward(ctx, values, into, back, bias_in, bias_back, present, backwards: bool, tape: Tape):
        steps, examples, _ = values.shape
        hidden = back.shape[1]
        bias = None if bias_in is None else bias_in + bias_back
        gates = functional.linear(values, into, bias)
        # One row more than steps: the state before the first step of the direction, which is zero.
        outputs, cells = (values.new_zeros(steps + 1, examples, hidden) for _ in range(2))
        squashed = values.new_empty(steps, examples, hidden)
        back_t = back.t()
        for step, state, before in _order(steps, backwards):
            gate = gates[step].addmm_(outputs[before], back_t)
            gate[:, : 2 * hidden].sigmoid_()
            gate[:, 2 * hidden : 3 * hidden].tanh_()
            gate[:, 3 * hidden :].sigmoid_()
            keep, forget, new, out = gate.chunk(4, dim=1)
            torch.mul(forget, cells[before], out=cells[state]).addcmul_(keep, new)
            if present is not None:
                cells[state].mul_(present[step])
            torch.tanh(cells[state], out=squashed[step])
            torch.mul(out, squashed[step], out=outputs[state])
        ctx.save_for_backward(values, into, back, bias_in, bias_back, present, gates, outputs, cells, squashed)
        ctx.backwards, ctx.tape = backwards, tape
        ctx.set_materialize_grads(False)
        inner = slice(0, steps) if backwards else slice(1, steps + 1)
        return outputs[inner], cells[inner]

    @staticmethod
    def backward(ctx, of_outputs, of_cells):
        values, into, back, bias_in, bias_back, present, gates, outputs, cells, squashed = ctx.saved_tensors
        steps, examples, hidden = squashed.shape
        of_gates = torch.empty_like(gates)
        onward = back.new_zeros(examples, hidden)
        carried = back.new_zeros(examples, hidden)
        for step, _, before in reversed(_order(steps, ctx.backwards)):
            keep_forget, (new, out) = gates[step, :, : 2 * hidden], gates[step, :, 2 * hidden :].chunk(2, dim=1)
            if of_outputs is not None:
                onward += of_outputs[step]
            if of_cells is not None:
                carried += of_cells[step]
            gate = of_gates[step]
            gate[:, 3 * hidden :] = _sigmoid_backward(onward * squashed[step], out)
            carried += _tanh_backward(onward * out, squashed[step])
            if present is not None:
                carried.mul_(present[step])
            torch.mul(carried, new, out=gate[:, :hidden])
            torch.mul(carried, cells[before], out=gate[:, hidden : 2 * hidden])
            gate[:, : 2 * hidden] = _sigmoid_backward(gate[:, : 2 * hidden], keep_forget)
            gate[:, 2 * hidden : 3 * hidden] = _tanh_backward(carried * keep_forget[:, :hidden], new)
            carried *= keep_forget[:, hidden:]
            torch.mm(gate, back, out=onward)
        earlier = outputs[1:] if ctx.backwards else outputs[:-1]
        pairs = [(into, values), (back, earlier)]
        used = [(weight, given) for weight, given in pairs if weight.requires_grad]
        ctx.tape.note(
            Affine(
                weights=tuple(weight for weight, _ in used),
                # Without history, as in `linear`.
                inputs=tuple(given.detach().transpose(0, 1) for _, given in used),
                biases=tuple(bias for bias in (bias_in, bias_back) if bias is not None and bias.requires_grad),
                gradient=of_gates.transpose(0, 1),
            )
        )
        of_values = of_gates @ into if ctx.needs_input_grad[0] else None
        return of_values, None, None, None, None, None, None, None


def recorded(layer: nn.LSTM, name: str, tape: Tape) -> Callable:
    """The forward pass of `layer`, recorded: the same arguments and results, padded or packed; it starts from zero."""
    if layer.proj_size:
        raise InvalidInput(f"layer '{name}' has proj_size={layer.proj_size}, for which there is no rule; leave it out")

    def forward(values: Tensor | PackedSequence, state=None):
        if state is not None:
            raise InvalidInput(f"layer '{name}' was given a first state; private training starts an LSTM from zero")
        if isinstance(values, PackedSequence):
            padded, lengths = pad_packed_sequence(values, batch_first=layer.batch_first)
            outputs, last = run(padded, lengths.to(padded.device))
            return pack_padded_sequence(outputs, lengths, layer.batch_first, enforce_sorted=False), last
        return run(values, None)

    def run(values: Tensor, lengths: Tensor | None):
        time_first = values.transpose(0, 1).contiguous() if layer.batch_first else values
        if values.dim() != 3 or time_first.shape[1] != tape.examples:
            raise InvalidInput(
                f"layer '{name}' was given values of shape {tuple(values.shape)} in a batch of {tape.examples}; "
                f"private training needs examples on axis {0 if layer.batch_first else 1} of three"
            )
        outputs, last = _layers(layer, time_first, lengths, tape)
        return outputs.transpose(0, 1) if layer.batch_first else outputs, last

    return forward


def _layers(layer: nn.LSTM, values: Tensor, lengths: Tensor | None, tape: Tape):
    """All layers and directions on (T, B, d): outputs (T, B, directions H), last states (layers directions, B, H)."""
    steps, examples = values.shape[:2]
    present, final = None, [steps - 1] * examples
    if lengths is not None:
        final = (lengths - 1).tolist()
        if min(final) < steps - 1:
            present = (torch.arange(steps, device=values.device)[:, None] < lengths).to(values.dtype)[:, :, None]
    rows, columns = torch.tensor(final), torch.arange(examples)
    hidden, cell = [], []
    for depth in range(layer.num_layers):
        directions = []
        for backwards in range(2 if layer.bidirectional else 1):
            names = [f"{kind}_l{depth}{'_reverse' * backwards}" for kind in _NAMES]
            weights = [getattr(layer, name, None) for name in names]
            outputs, cells = _Direction.apply(values, *weights, present, bool(backwards), tape)
            directions.append(outputs)
            hidden.append(outputs[0] if backwards else outputs[rows, columns])
            cell.append(cells[0] if backwards else cells[rows, columns])
        values = torch.cat(directions, dim=2) if layer.bidirectional else directions[0]
        if depth < layer.num_layers - 1:
            values = functional.dropout(values, layer.dropout, layer.training)
    return values, (torch.stack(hidden), torch.stack(cell))


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _order(steps: int, backwards: bool) -> list[tuple[int, int, int]]:
    """(step, row of its state, row of the state before it), as they are computed."""
    if backwards:
        return [(step, step, step + 1) for step in reversed(range(steps))]
    return [(step, step + 1, step) for step in range(steps)]
