"""Every term of self-supervised learning on a small network: what all of them must pass runs over this table."""

import torch
from torch import nn

from adapt import Stream, Trainer, encoders, unsupervised
from tests.adapt.engine.tiny import DIM, cloud, jitter

SMALL = {"hidden": 12, "projection": 5}
CASES = {
    "simclr": lambda e: unsupervised.simclr(e, on="rows", projection=5),
    "vicreg": lambda e: unsupervised.vicreg(e, on="rows", **SMALL),
    "barlow_twins": lambda e: unsupervised.barlow_twins(e, on="rows", **SMALL),
    "lejepa": lambda e: unsupervised.lejepa(e, on="rows", directions=8, tradeoff=0.3, **SMALL),
    "swav": lambda e: unsupervised.swav(e, on="rows", prototypes=7, **SMALL),
    "swav queue": lambda e: unsupervised.swav(e, on="rows", prototypes=7, queue=24, **SMALL),
    "dino": lambda e: unsupervised.dino(e, on="rows", prototypes=7, hidden=12, bottleneck=5, momentum=0.9),
    "masked_reconstruction": lambda e: unsupervised.masked_reconstruction(
        e, on="rows", shape=(DIM,), patch=(2,), share=0.4, hidden=12
    ),
}


def network(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(DIM, 16), nn.Tanh(), nn.Linear(16, 8))
    return encoders.Encoder(body, 8).to(dtype)


def views(count=3):
    return [jitter] * count


def made(name, *, dtype=torch.float32, batch=12, rows=48, count=3, **options):
    """Return a trainer with the one term, on three views of each row."""
    encoder = network(dtype)
    torch.manual_seed(3)
    term = CASES[name](encoder)
    for module in term.modules:
        module.to(dtype)
    stream = Stream(cloud(rows, dtype=dtype), batch, labels=False, views=views(count))
    return Trainer(encoder, [term], {"rows": stream}, progress=False, device="cpu", **options)
