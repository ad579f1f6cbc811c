import numpy as np
import torch

from vbot.ppo.normalize import RunningMoments


def test_merged_batches_equal_moments_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    # A mean 1e4 deviations from zero: sums of squares in float32 would lose every digit of the variance.
    batches = [(rng.normal(size=(rows, 3)) * [1, 0.1, 5] + [0, 1e3, -2]).astype(np.float32) for rows in (1, 50, 7, 300)]
    moments = RunningMoments(3, min_std=1e-6)
    for batch in batches:
        moments.update(torch.from_numpy(batch))
    rows = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(moments.mean.numpy(), rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.var.numpy(), rows.var(0), rtol=1e-9)
    assert moments.count.item() == 358


def test_normalize_by_hand() -> None:
    moments = RunningMoments(1, min_std=1e-2)
    moments.update(torch.tensor([[1.0], [3.0], [5.0], [7.0]]))  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    torch.testing.assert_close(moments.normalize(torch.tensor([[9.0]])), torch.tensor([[5 / 5**0.5]]))
    torch.testing.assert_close(moments.denormalize(torch.tensor([[-2.0]])), torch.tensor([[4 - 2 * 5**0.5]]))


def test_nothing_seen_is_the_identity_and_a_constant_feature_stays_finite() -> None:
    moments = RunningMoments(2, min_std=1e-2)
    x = torch.tensor([[3.0, -4.0]])
    assert torch.equal(moments.normalize(x), x)
    moments.update(x.expand(10, 2))
    torch.testing.assert_close(moments.normalize(x + 0.05), torch.full((1, 2), 5.0), rtol=1e-4, atol=0)
