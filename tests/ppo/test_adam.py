import torch

from vbot.ppo.adam import Adam


def adam(start: float) -> tuple[torch.nn.Parameter, Adam]:
    parameter = torch.nn.Parameter(torch.tensor([start]))
    return parameter, Adam([parameter], lr=torch.tensor(0.1), fused=True)


def advance(parameter: torch.nn.Parameter, optimizer: Adam, gradient: float) -> float:
    parameter.grad = torch.tensor([gradient])
    optimizer.advance()
    return parameter.item()


def test_three_steps_by_hand() -> None:
    """Kingma & Ba, algorithm 1, with beta 0.9 and 0.999, a rate of 0.1 and gradients 1, 1, -2.

    Of the gradients the moving mean m is 0.1, 0.19, -0.029, of their squares v 0.001, 0.001999, 0.005997001.
    """
    parameter, optimizer = adam(3.0)
    expected = 3.0
    for t, (gradient, m, v) in enumerate([(1.0, 0.1, 0.001), (1.0, 0.19, 0.001999), (-2.0, -0.029, 0.005997001)], 1):
        expected -= 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
        assert abs(advance(parameter, optimizer, gradient) - expected) < 1e-5


def test_a_step_is_that_of_torch_to_the_bit_also_after_a_resume() -> None:
    ours, optimizer = adam(3.0)
    theirs = torch.nn.Parameter(ours.detach().clone())
    reference = torch.optim.Adam([theirs], lr=torch.tensor(0.1), fused=True)
    for k, gradient in enumerate([0.3, -0.7, 2.0, 0.01, -5.0]):
        if k == 3:
            saved = optimizer.state_dict()
            ours, optimizer = adam(ours.item())
            optimizer.load_state_dict(saved)
        theirs.grad = torch.tensor([gradient])
        reference.step()
        assert advance(ours, optimizer, gradient) == theirs.item()
