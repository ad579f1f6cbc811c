"""All parameters of a model in one tensor: what is done to every one of them is done once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vbot.ppo.model import ActorCritic


class Parameters:
    """Lays the parameters of ``model`` end to end; the model goes on with views of them.

    Clipping a gradient, an optimiser's step or a mirror are a handful of operations on P numbers this way. Done tensor
    by tensor they are a dozen times as many, and with mini-batches of a few thousand samples their overhead is felt.

    A gradient keeps a symmetric model symmetric: its mirror image is averaged in, which is the gradient with respect
    to the parameters that mirrored entries share. Adam treats every entry alike, so shared entries stay equal.
    """

    def __init__(self, model: ActorCritic) -> None:
        self._tensors = list(model.parameters())
        self.flat = nn.Parameter(torch.cat([tensor.detach().flatten() for tensor in self._tensors]))
        """(P,), for an optimiser."""
        self.gradient = torch.zeros_like(self.flat)
        """(P,), written by `differentiate`."""
        self.flat.grad = self.gradient
        parts = self.flat.data.split([tensor.numel() for tensor in self._tensors])
        for tensor, part in zip(self._tensors, parts, strict=True):
            tensor.data = part.view_as(tensor)
        self._mirror = None if model.mirror is None else model.mirror.to(self.flat.device)
        self.symmetrize()

    def differentiate(self, outputs: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        """Write the gradient of a loss over the last one, from its ``slopes`` with respect to the model's outputs."""
        gradients = torch.autograd.grad(outputs, self._tensors, slopes)
        torch.cat([gradient.flatten() for gradient in gradients], out=self.gradient)
        if self._mirror is not None:
            self.gradient.copy_(self._mirror.average(self.gradient))

    def clip_gradient(self, limit: float) -> Tensor:
        """Scale a gradient longer than ``limit`` down to it; returns its norm before that, ()."""
        norm = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((limit / norm.clamp_min(1e-12)).clamp_max(1.0))
        return norm

    @torch.no_grad()
    def symmetrize(self) -> None:
        """Average with the mirror image: rounding would part them in the long run. Nothing without a symmetry."""
        if self._mirror is not None:
            self.flat.copy_(self._mirror.average(self.flat))
