"""Multilayer perceptrons, mirror-equivariant layer by layer where mirrors of input and output are given."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

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

    def average(self, x: Tensor) -> Tensor:
        """(..., size) -> the nearest one that is its own mirror image."""
        return 0.5 * (x + self(x))

    def to(self, device: torch.device) -> "Mirror":
        return Mirror(self.order.to(device), self.sign.to(device))

    @staticmethod
    def swap(size: int) -> "Mirror":
        """Features in pairs: the first half and the second half change places."""
        return Mirror(torch.arange(size).roll(size // 2), torch.ones(size))

    @staticmethod
    def identity(size: int) -> "Mirror":
        """Features that look the same in the mirror."""
        return Mirror(torch.arange(size), torch.ones(size))

    @staticmethod
    def of_matrix(rows: "Mirror", columns: "Mirror") -> "Mirror":
        """Of a matrix's entries, row by row, under mirrors of its rows and of its columns."""
        order = rows.order[:, None] * len(columns.order) + columns.order
        return Mirror(order.flatten(), (rows.sign[:, None] * columns.sign).flatten())

    @staticmethod
    def join(parts: Sequence["Mirror"]) -> "Mirror":
        """Of the features of all parts, one part after another."""
        sizes = [len(part.order) for part in parts]
        starts = [sum(sizes[:k]) for k in range(len(sizes))]
        order = torch.cat([part.order + start for part, start in zip(parts, starts, strict=True)])
        return Mirror(order, torch.cat([part.sign for part in parts]))


class Perceptron(nn.Sequential):
    """Linear layers with activations between them; weights orthogonal, biases zero.

    With mirrors P of its inputs and Q of its outputs it starts as a network f that commutes with them,
    f(P x) = Q f(x), and goes on commuting for as long as its parameters are their own image under ``mirror``: in each
    layer W = Q W P and b = Q b, with hidden features in pairs that are each other's images. That is a group-equivariant
    network (Cohen & Welling, "Group equivariant convolutional networks", 2016) of two elements. It costs as much as
    a plain one of its size; averaging a plain network over both images costs twice.

    Args:
        sizes: of inputs, hidden layers and outputs.
        last_gain: of the last layer's weights; those before it have sqrt(2).
        generator: weights are drawn from it, on the CPU.
        mirrors: of inputs and outputs, for a network that commutes with them.

    Raises:
        UserError: mirrors are given and a hidden size is odd.
    """

    mirror: Mirror | None
    """Of the parameters, in the order of ``parameters()``, laid end to end; None without mirrors."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        *,
        last_gain: float,
        generator: torch.Generator,
        mirrors: tuple[Mirror, Mirror] | None = None,
    ) -> None:
        hidden = list(sizes[1:-1])
        if mirrors is not None and any(size % 2 for size in hidden):
            raise UserError(
                "hidden layers hold mirrored pairs under ppo.symmetry, so ppo.policy_hidden_layer_sizes and "
                f"ppo.value_hidden_layer_sizes must be even; got {hidden}"
            )
        images = None if mirrors is None else [mirrors[0], *map(Mirror.swap, hidden), mirrors[1]]
        layers: list[nn.Module] = []
        of_parameters: list[Mirror] = []
        for i in range(len(sizes) - 1):
            last = i == len(sizes) - 2
            weight = torch.randn(sizes[i + 1], sizes[i], generator=generator)
            if images is not None:
                # The orthogonal matrix nearest to one that commutes commutes too: mirrors are orthogonal themselves.
                of_weight = Mirror.of_matrix(images[i + 1], images[i])
                weight = of_weight.average(weight.flatten()).view_as(weight)
                of_parameters += [of_weight, images[i + 1]]
            # skip_init: the default initialisation would draw from the global generator.
            linear = nn.utils.skip_init(nn.Linear, sizes[i], sizes[i + 1])
            nn.init.zeros_(linear.bias)
            linear.weight.data = orthogonal(weight, last_gain if last else math.sqrt(2))
            layers.append(linear)
            if not last:
                layers.append(ACTIVATIONS[activation]())
        super().__init__(*layers)
        self.mirror = Mirror.join(of_parameters) if of_parameters else None


def orthogonal(matrix: Tensor, gain: float) -> Tensor:
    """`gain` times the nearest matrix with orthonormal rows or columns, whichever are fewer (polar decomposition)."""
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return gain * (u @ v)
