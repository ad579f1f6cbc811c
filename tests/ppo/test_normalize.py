import numpy as np
import torch

from vbot.ppo.network import Mirror
from vbot.ppo.normalize import RunningMoments


def test_merged_batches_equal_moments_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    # A mean 1e4 deviations from zero: sums of squares in float32 would lose every digit of the variance.
    batches = [(rng.normal(size=(rows, 3)) * [1, 0.1, 5] + [0, 1e3, -2]).astype(np.float32) for rows in (1, 50, 7, 300)]
    moments = RunningMoments(3, min_std=1e-6)
    for batch in batches:
        moments.update(torch.from_numpy(batch))
    rows = np.concatenate(batches).astype(np.float64)
    # The moments of a batch are rounded to float32: 3e-5 of a mean of 1e3, beside a deviation of 0.1.
    np.testing.assert_allclose(moments.mean.numpy(), rows.mean(0), rtol=1e-7)
    np.testing.assert_allclose(moments.var.numpy(), rows.var(0), rtol=1e-5)
    assert moments.count.item() == 358


def test_mirrored_moments_equal_those_of_rows_and_images() -> None:
    mirror = Mirror(torch.tensor([1, 0, 2]), torch.tensor([-1.0, -1.0, -1.0]))
    batch = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0, 0.5]) + 2
    both, mirrored = RunningMoments(3, min_std=1e-6), RunningMoments(3, min_std=1e-6)
    both.update(torch.cat((batch, -batch[:, [1, 0, 2]])))
    mirrored.update(batch, mirror)
    torch.testing.assert_close(mirrored.mean, both.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(mirrored.var, both.var, rtol=1e-6, atol=0)
    assert mirrored.count == both.count == 80


def test_normalize_by_hand() -> None:
    moments = RunningMoments(1, min_std=1e-2)
    moments.update(torch.tensor([[1.0], [3.0], [5.0], [7.0]]))  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    torch.testing.assert_close(moments.normalize(torch.tensor([[9.0]])), torch.tensor([[5 / 5**0.5]]))
    torch.testing.assert_close(moments.denormalize(torch.tensor([[-2.0]])), torch.tensor([[4 - 2 * 5**0.5]]))


def test_each_feature_has_a_least_deviation_of_its_own() -> None:
    moments = RunningMoments(2, min_std=torch.tensor([0.5, 0.01]))
    flags = torch.zeros(100, 2)
    flags[0] = 1  # mean 0.01, deviation sqrt(0.01 * 0.99) = 0.0995
    moments.update(flags)
    torch.testing.assert_close(moments.normalize(torch.ones(1, 2)), torch.tensor([[0.99 / 0.5, 0.99 / 0.0994987]]))


def test_nothing_seen_is_the_identity_and_a_constant_feature_stays_finite() -> None:
    moments = RunningMoments(2, min_std=1e-2)
    x = torch.tensor([[3.0, -4.0]])
    assert torch.equal(moments.normalize(x), x)
    moments.update(x.expand(10, 2))
    torch.testing.assert_close(moments.normalize(x + 0.05), torch.full((1, 2), 5.0), rtol=1e-4, atol=0)
