"""Small episodes for the tests of few-shot methods."""

import torch


def episodes(batch=2, counts=(1, 2, 3), queries=6, d=5, seed=0, names=(3, 7, 40), spread=2.0):
    """Support, labels and queries in float64, the classes in another order in each episode, and the right answers."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
    orders = torch.stack([torch.randperm(len(numbers), generator=generator) for _ in range(batch)])
    middles = spread * torch.randn(batch, len(counts), d, generator=generator, dtype=torch.float64)
    support, right = numbers[orders], torch.randint(len(counts), (batch, queries), generator=generator)

    def rows(y):
        noise = torch.randn(*y.shape, d, generator=generator, dtype=torch.float64)
        return middles.gather(1, y[..., None].expand(*y.shape, d)) + noise

    return rows(support), torch.tensor(names)[support], rows(right), torch.tensor(names)[right]
