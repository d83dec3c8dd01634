"""A small run that uses everything: two domains, dropout, augmentation, several terms, one or two phases."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import adapt
import losses
from adapt import Phase, Stream, Term, Trainer, domain, encoders, heads

DIM = 6


def cloud(rows=48, *, seed=0, shift=0.0, dtype=torch.float32) -> TensorDataset:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=g)
    x = torch.randn(rows, DIM, generator=g, dtype=torch.float64) + 2 * F.one_hot(labels, DIM) + shift
    return TensorDataset(x.to(dtype), labels)


class Items(Dataset):
    """The same rows read one by one, as a folder of files would be."""

    def __init__(self, data: TensorDataset):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index]


def jitter(x):
    return x + 0.1 * torch.randn_like(x)


def network(*, dropout=0.0, batch_norm=False, dtype=torch.float32, seed=0) -> tuple[encoders.Encoder, heads.Classifier]:
    torch.manual_seed(seed)
    norm = nn.BatchNorm1d(16) if batch_norm else nn.Identity()
    body = nn.Sequential(
        nn.Linear(DIM, 16, bias=not batch_norm), norm, nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8)
    )
    return encoders.Encoder(body, 8).to(dtype), heads.Classifier(8, 3, dropout=dropout).to(dtype)


def streams(*, dtype=torch.float32, augment=None, workers=0, items=False):
    wrap = Items if items else (lambda data: data)
    source, target = wrap(cloud(dtype=dtype)), wrap(cloud(40, seed=1, shift=0.7, dtype=dtype))
    options = {"augment": augment, "workers": workers}
    return {
        "source": Stream(source, 12, **options),
        "target": Stream(target, 8, labels=False, **options),
    }


def every_term(head, *, dtype=torch.float32, seed=3):
    torch.manual_seed(seed)
    return {
        "dann": domain.dann(8, hidden=16),
        "dan": domain.dan(),
        "deep_coral": domain.deep_coral(weight=10.0),
        "mcc": domain.mcc(head),
        "entropy": Term("entropy", lambda s: losses.entropy(s.output(head, "target")), modules=[head]),
        "im": Term("im", lambda s: losses.information_maximization(s.output(head, "target")), modules=[head]),
    }


def trainer(terms=("dann", "dan"), *, network_options=None, stream_options=None, dtype=torch.float32, **options):
    encoder, head = network(dtype=dtype, **(network_options or {}))
    known = every_term(head)
    chosen = [adapt.supervised(head, "source"), *(known[name] for name in terms)]
    for term in chosen:
        for module in term.modules:
            module.to(dtype)
    made = Trainer(
        encoder,
        chosen,
        streams(dtype=dtype, **(stream_options or {})),
        progress=False,
        device="cpu",
        **options,
    )
    return made, head


def two_phases(*, dtype=torch.float32, network_options=None, **options):
    """A critic that learns to tell the domains, twice a batch; then an encoder that hides them from it."""
    encoder, head = network(dtype=dtype, **(network_options or {}))
    critic = heads.Discriminator(8, hidden=16).to(dtype)
    side = lambda s, name: s.call(critic, s[name].features)  # noqa: E731
    tell = lambda s: losses.domain_adversarial(side(s, "source"), side(s, "target"))  # noqa: E731
    swap = lambda s: losses.domain_adversarial(side(s, "target"), side(s, "source"))  # noqa: E731
    critic_term, fool = Term("critic", tell, modules=[critic]), Term("fool", swap, modules=[critic])
    phases = [
        Phase([critic_term], update=[critic], repeat=2, name="critic"),
        Phase([adapt.supervised(head, "source"), fool], update=[encoder, head], name="encoder"),
    ]
    made = Trainer(encoder, streams=streams(dtype=dtype), phases=phases, progress=False, device="cpu", **options)
    return made, head


def weights(made: Trainer) -> torch.Tensor:
    state = made.network.state_dict().values()
    values = [v.detach().double().flatten() for v in state if isinstance(v, torch.Tensor)]
    return torch.cat(values)
