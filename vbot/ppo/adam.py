"""Adam (Kingma & Ba, "Adam: a method for stochastic optimization", 2015), without what surrounds it in torch."""

import torch
from torch.optim.adam import adam


class Adam(torch.optim.Adam):
    """torch's, of one parameter, with a step that leaves hooks, groups and graphs aside.

    After a backward pass the processor's caches hold none of the code that looks after these, and it takes several
    times as long as the step itself.
    """

    @torch.no_grad()
    def advance(self) -> None:
        """The step that ``step`` would make, bit for bit."""
        (group,) = self.param_groups
        (parameter,) = group["params"]
        memory = self.state[parameter]
        if not memory:
            self.step()  # makes the memory
            return
        adam(
            [parameter],
            [parameter.grad],
            [memory["exp_avg"]],
            [memory["exp_avg_sq"]],
            [],
            [memory["step"]],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            **{name: group[name] for name in ("lr", "eps", "weight_decay", "amsgrad", "maximize", "fused")},
        )
