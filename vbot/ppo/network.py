"""Multilayer perceptrons, mirror-equivariant layer by layer where mirrors of input and output are given."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vbot.errors import UserError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": lambda: nn.ELU(inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,
}


class Mirror(NamedTuple):
    """A signed permutation of features that undoes itself."""

    order: Tensor
    """(size,) int64."""
    sign: Tensor
    """(size,) float32, +1 or -1."""

    def __call__(self, x: Tensor) -> Tensor:
        """(..., size) -> its mirror image."""
        return x.index_select(-1, self.order) * self.sign

    @staticmethod
    def swap(size: int) -> "Mirror":
        """Features in pairs: the first half and the second half change places."""
        return Mirror(torch.arange(size).roll(size // 2), torch.ones(size))

    @staticmethod
    def identity(size: int) -> "Mirror":
        """Features that look the same in the mirror."""
        return Mirror(torch.arange(size), torch.ones(size))


class MirrorLinear(nn.Module):
    """A linear layer that commutes with a mirror P of its inputs and Q of its outputs: f(P x) = Q f(x).

    It is y = x W'^T + b' with W' = (W + Q W P) / 2 and b' = (b + Q b) / 2, the projection of free parameters on the
    layers that commute. A stack of them, with hidden features in pairs (half of them the mirror images of the others),
    is a group-equivariant network (Cohen & Welling, "Group equivariant convolutional networks", 2016) of two
    elements. It costs as much as a plain one of its size; averaging a plain network over both images costs twice.
    """

    swapped: Tensor
    signs: Tensor
    bias_index: Tensor
    bias_sign: Tensor

    def __init__(self, inputs: Mirror, outputs: Mirror, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight)))
        # Not persistent: mirrors are the environment's, not learned.
        swapped = outputs.order[:, None] * len(inputs.order) + inputs.order
        self.register_buffer("swapped", swapped.flatten(), persistent=False)
        self.register_buffer("signs", outputs.sign[:, None] * inputs.sign, persistent=False)
        self.register_buffer("bias_index", outputs.order.clone(), persistent=False)
        self.register_buffer("bias_sign", outputs.sign.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        mirrored = self.weight.flatten().index_select(0, self.swapped).view_as(self.weight) * self.signs
        bias = self.bias + self.bias.index_select(0, self.bias_index) * self.bias_sign
        return functional.linear(x, 0.5 * (self.weight + mirrored), 0.5 * bias)


def perceptron(
    sizes: Sequence[int],
    activation: str,
    *,
    last_gain: float,
    generator: torch.Generator,
    mirrors: tuple[Mirror, Mirror] | None = None,
) -> nn.Sequential:
    """Linear layers of these sizes with activations between them; weights orthogonal, biases zero.

    Args:
        last_gain: of the last layer's weights; those before it have sqrt(2).
        generator: weights are drawn from it, on the CPU.
        mirrors: of inputs and outputs, for a network that commutes with them.

    Raises:
        UserError: mirrors are given and a hidden size is odd.
    """
    hidden = list(sizes[1:-1])
    if mirrors is not None and any(size % 2 for size in hidden):
        raise UserError(
            "hidden layers hold mirrored pairs under ppo.symmetry, so ppo.policy_hidden_layer_sizes and "
            f"ppo.value_hidden_layer_sizes must be even; got {hidden}"
        )
    images = None if mirrors is None else [mirrors[0], *map(Mirror.swap, hidden), mirrors[1]]
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        last = i == len(sizes) - 2
        weight = torch.randn(sizes[i + 1], sizes[i], generator=generator)
        if images is None:
            # skip_init: the default initialisation would draw from the global generator.
            linear = nn.utils.skip_init(nn.Linear, sizes[i], sizes[i + 1])
            nn.init.zeros_(linear.bias)
            linear.weight.data = orthogonal(weight, last_gain if last else math.sqrt(2))
        else:
            # The orthogonal matrix nearest to one that commutes commutes too: mirrors are orthogonal themselves.
            weight = weight + images[i + 1](images[i](weight).T).T
            linear = MirrorLinear(images[i], images[i + 1], orthogonal(weight, last_gain if last else math.sqrt(2)))
        layers.append(linear)
        if not last:
            layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


def orthogonal(matrix: Tensor, gain: float) -> Tensor:
    """`gain` times the nearest matrix with orthonormal rows or columns, whichever are fewer (polar decomposition)."""
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return gain * (u @ v)
