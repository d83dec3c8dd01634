"""Class weights from counts."""

import pytest
import torch

import losses

counts = torch.tensor([1, 10, 500])


def by_hand(n, beta):
    raw = [1.0 if beta == 0 else 1 / k if beta == 1 else (1 - beta) / (1 - beta**k) for k in n]
    return [len(n) * v / sum(raw) for v in raw]


@pytest.mark.parametrize("beta", [0, 0.0, 0.9, 0.99, 0.9999, 1, 1.0])
def test_equals_the_equation(beta):
    found = losses.balanced_class_weights(counts.double(), beta=beta)
    torch.testing.assert_close(
        found, torch.tensor(by_hand(counts.tolist(), beta), dtype=torch.float64), rtol=1e-9, atol=0
    )
    single = losses.balanced_class_weights(counts, beta=beta)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, rtol=1e-6, atol=0)


def test_zero_is_equality_and_one_is_inverse_frequency_and_their_limit():
    assert (losses.balanced_class_weights(counts, beta=0.0) == 1).all()
    near = losses.balanced_class_weights(counts.double(), beta=1 - 1e-9)
    torch.testing.assert_close(losses.balanced_class_weights(counts.double(), beta=1.0), near, rtol=1e-5, atol=0)


@pytest.mark.parametrize("beta", [0.0, 0.99, 1.0])
def test_a_class_without_rows_weighs_nothing(beta):
    found = losses.balanced_class_weights(torch.tensor([4, 0, 9]), beta=beta)
    assert found[1] == 0
    torch.testing.assert_close(found[[0, 2]], losses.balanced_class_weights(torch.tensor([4, 9]), beta=beta))
    assert (losses.balanced_class_weights(torch.tensor([0, 0]), beta=beta) == 0).all()


def test_compiles_and_batches():
    fast = torch.compile(lambda n: losses.balanced_class_weights(n, beta=0.9), fullgraph=True, backend="aot_eager")
    expected = losses.balanced_class_weights(counts, beta=0.9)
    torch.testing.assert_close(fast(counts), expected)
    batched = torch.func.vmap(lambda n: losses.balanced_class_weights(n, beta=0.9))(
        torch.stack([counts, counts.flip(0)])
    )
    torch.testing.assert_close(batched, torch.stack([expected, expected.flip(0)]))


@pytest.mark.parametrize(
    ("numbers", "beta", "message"),
    [
        (counts, 1.5, "`beta` must be in"),
        (counts, -0.1, "`beta` must be in"),
        (counts[None], 0.9, r"`counts` must be \(classes,\)"),
    ],
)
def test_bad_arguments(numbers, beta, message):
    with pytest.raises(ValueError, match=message):
        losses.balanced_class_weights(numbers, beta=beta)


def test_no_class_at_all():
    with pytest.raises(ValueError, match="at least one class"):
        losses.balanced_class_weights(torch.zeros(0), beta=0.5)


@pytest.mark.parametrize("beta", [0.0, 0.9, 1.0])
def test_nan_stays_nan(beta):
    assert losses.balanced_class_weights(torch.tensor([3.0, torch.nan]), beta=beta).isnan().all()
