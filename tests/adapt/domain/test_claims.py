"""What the papers claim, on constructed cases where the source alone is not enough.

Three cases: a shortcut that the target does not have, clusters turned close to the source's boundary, and DANN's
rotated moons.
Weights, learning rates and angles were fixed on these very cases: the claims show that a method can do its work, not
how well the method does elsewhere. Every claim keeps a margin that rounding does not cross, on any processor and with
any number of threads: `python tests/perturb.py -k test_claims` shows the margins.
"""

import math
from functools import cache, partial
from statistics import median

import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Stream, Trainer, domain, encoders, heads, ramp
from adapt.engine import switch

pytestmark = pytest.mark.claim
WIDTH, ROWS, SEEDS = 64, 300, (0, 1, 2)


def shortcut(target, seed, rows=ROWS):
    """The second number says the class more clearly than the first; on target it says nothing, and is larger."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (rows,), generator=g)
    side = 2.0 * y - 1
    first = side + 0.4 * torch.randn(rows, generator=g)
    second = 1.5 * torch.randn(rows, generator=g) + 2.0 if target else 1.5 * side + 0.3 * torch.randn(rows, generator=g)
    return TensorDataset(torch.stack([first, second], 1), y)


def wheel(target, seed, rows=ROWS):
    """Four clusters on a circle; the target is turned by 35 degrees, the boundary is at 45."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (rows,), generator=g)
    angle = y * math.pi / 2 + (math.radians(35) if target else 0)
    return TensorDataset(2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.35 * torch.randn(rows, 2, generator=g), y)


def moons(target, seed, rows=ROWS):
    """Two moons, on target turned by 35 degrees: Ganin et al., 2016, section 5.1.1."""
    x, y = make_moons(rows, noise=0.05, random_state=seed)
    c, s = (math.cos(math.radians(35)), math.sin(math.radians(35))) if target else (1.0, 0.0)
    x = (torch.tensor(x).float() - torch.tensor([0.5, 0.25])) @ torch.tensor([[c, s], [-s, c]])
    return TensorDataset(x, torch.tensor(y))


def jitter(x):
    return x + 0.3 * torch.randn_like(x)


def two_heads(method, encoder, first, **options):
    second = heads.Classifier(WIDTH, first.classes)
    learn = [adapt.supervised(h, "source", name=f"learn_{i}") for i, h in enumerate((first, second))]
    return method(first, second=second, encoder=encoder, learn=learn, **options)


CLAIMS = {
    "dann": (shortcut, 400, lambda e, h: [domain.dann(e)]),
    "cdan": (shortcut, 400, lambda e, h: [domain.cdan(h)]),
    "mdd": (wheel, 400, lambda e, h: [domain.mdd(h, hidden=64, margin=2.0, strength=ramp(0.3))]),
    "dann and bsp": (shortcut, 400, lambda e, h: [domain.dann(e), domain.bsp()]),
    "dan": (shortcut, 400, lambda e, h: [domain.dan()]),
    "jan": (shortcut, 400, lambda e, h: [domain.jan(h)]),
    "dsan": (shortcut, 400, lambda e, h: [domain.dsan(h, weight=ramp(1.0))]),
    "sliced": (shortcut, 400, lambda e, h: [domain.sliced()]),
    "homm": (shortcut, 600, lambda e, h: [domain.homm(weight=ramp(1000.0))]),
    "deep_coral": (shortcut, 600, lambda e, h: [domain.deep_coral(weight=ramp(1000.0))]),
    "deep_jdot": (shortcut, 400, lambda e, h: [domain.deep_jdot(h, feature_weight=0.1, label_weight=0.3)]),
    "mcc": (wheel, 400, lambda e, h: [domain.mcc(h)]),
    "bnm": (wheel, 400, lambda e, h: [domain.bnm(h)]),
    "im": (wheel, 400, lambda e, h: [domain.im(h)]),
    "atdoc": (wheel, 400, lambda e, h: [domain.atdoc(h, rows=ROWS, weight=lambda progress: progress)]),
    "fixmatch": (wheel, 400, lambda e, h: [domain.fixmatch(h)]),
    "mean_teacher": (wheel, 400, lambda e, h: [domain.mean_teacher(h, encoder=e, momentum=0.9, weight=ramp(10.0))]),
    "vada": (moons, 600, lambda e, h: [
        *domain.vada(h, radius=0.3, adversarial=ramp(1.0), smooth_target=ramp(1.0))
    ]),
}  # fmt: skip
PHASES = {
    "mcd": (wheel, 300, lambda e, h: two_heads(domain.mcd, e, h, repeat=2)),
    "swd": (wheel, 300, lambda e, h: two_heads(domain.swd, e, h, weight=switch(0.0, 100.0, at=0.3))),
    "wdgrl": (shortcut, 250, lambda e, h: domain.wdgrl(
        e, learn=[adapt.supervised(h, "source")], repeat=3, hidden=64
    )),
}  # fmt: skip
# deep_coral sees second moments alone, homm sampled third moments
LEAST = {"deep_coral": 0.85, "homm": 0.9, "swd": 0.9}
# Two starts of three follow. One start in ten of DANN keeps the shortcut; with every setting tried, one start in four
# of SWD loses a class.
STARTS = {"dann": (2, 5), "cdan": (2, 5), "swd": (1, 5)}
OPTIONS = {  # at 3e-3 one start in four of FixMatch and of the mean teacher gives two clusters to the same class
    "fixmatch": {"rate": 1e-3}, "mean_teacher": {"rate": 1e-3}, "swd": {"momentum": 0.9},
}  # fmt: skip


def accuracy(case, steps, make, seed, *, phases=False, rate=3e-3, momentum=0.5):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
    encoder, head = encoders.Encoder(body, WIDTH), heads.Classifier(WIDTH, 4 if case is wheel else 2)
    parts = make(encoder, head)
    streams = {
        "source": Stream(case(False, 1), 64),
        "target": Stream(case(True, 2), 64, labels=False, views=[None, jitter] if case is wheel else None),
    }
    what = {"phases": parts} if phases else {"terms": [adapt.supervised(head, "source"), *parts]}
    # a momentum of 0.5, common in adversarial training: at 0.9 one start in four of DANN and CDAN keeps the shortcut
    optimizer = partial(torch.optim.AdamW, lr=rate, betas=(momentum, 0.999))
    made = Trainer(encoder, streams=streams, optimizer=optimizer, progress=False, seed=seed, **what).fit(steps)
    return made.evaluate(head, case(True, 3, 1000)).value


@cache
def source_only(case):
    return max(accuracy(case, 400, lambda e, h: [], seed) for seed in SEEDS)


@pytest.mark.parametrize("name", [*CLAIMS, *PHASES])
def test_it_follows_where_the_source_alone_does_not(name):
    case, steps, make = (CLAIMS | PHASES)[name]
    options, least = {"phases": name in PHASES} | OPTIONS.get(name, {}), LEAST.get(name, 0.95)
    wanted, starts = STARTS.get(name, (2, 3))
    found = []
    for seed in range(starts):  # no further start where the claim is decided
        if sum(value >= least for value in found) < wanted:
            found.append(accuracy(case, steps, make, seed, **options))
    assert source_only(case) <= 0.88 and sorted(found)[-wanted] >= least, (source_only(case), found)


def test_afn_makes_target_features_longer():
    def length(terms):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        encoder, head = encoders.Encoder(body, WIDTH), heads.Classifier(WIDTH, 2)
        streams = {"source": Stream(shortcut(False, 1), 64), "target": Stream(shortcut(True, 2), 64, labels=False)}
        made = Trainer(encoder, [adapt.supervised(head, "source"), *terms], streams, progress=False).fit(200)
        return made.predict(head, shortcut(True, 3)).features.norm(dim=1).mean()

    assert length([domain.afn()]) > length([]) + 1


def test_rsd_turns_the_subspaces_together():
    def sines(terms):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        encoder, head = encoders.Encoder(body, WIDTH), heads.Regressor(WIDTH)
        streams = {"source": Stream(lines(False, 1), 32), "target": Stream(lines(True, 2), 32, labels=False)}
        made = Trainer(encoder, [adapt.supervised(head, "source"), *terms], streams, progress=False).fit(200)
        features = (made.predict(head, lines(target, 3, 32)).features for target in (False, True))
        return float(losses.representation_subspace_distance(*features, tradeoff=0))

    assert sines([domain.rsd(weight=0.1, tradeoff=0.0)]) < 0.9 * sines([])


def few(rows_a_class):
    x, y = shortcut(True, 5, 200).tensors
    chosen = torch.cat([(y == c).nonzero()[:rows_a_class, 0] for c in (0, 1)])
    return TensorDataset(x[chosen], y[chosen])


def with_few_labels(terms, seed, *, joint=True):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
    encoder, head = encoders.Encoder(body, WIDTH), heads.Classifier(WIDTH, 2)
    streams = {"source": Stream(shortcut(False, 1), 64), "few": Stream(few(3), 6)}
    learn = [adapt.supervised(head, "source"), *([adapt.supervised(head, "few")] if joint else [])]
    return (
        Trainer(encoder, [*learn, *terms], streams, progress=False, seed=seed)
        .fit(300)
        .evaluate(head, shortcut(True, 3, 1000))
        .value
    )


def test_three_labels_a_class_help_and_ccsa_uses_them():
    none = median(with_few_labels([], seed, joint=False) for seed in SEEDS)
    ccsa = median(with_few_labels([domain.ccsa()], seed, joint=False) for seed in SEEDS)
    assert none < 0.7 and ccsa > none + 0.15


def lines(target, seed, rows=ROWS):
    """A regression with the same shortcut, labels in [0, 1]."""
    g = torch.Generator().manual_seed(seed)
    y = torch.rand(rows, generator=g)
    first = y + 0.1 * torch.randn(rows, generator=g)
    second = torch.randn(rows, generator=g) + 1.0 if target else y + 0.03 * torch.randn(rows, generator=g)
    return TensorDataset(torch.stack([4 * first, 4 * second], 1), y)


@pytest.mark.parametrize(
    "make",
    [
        lambda h: domain.dd(h, hidden=64, strength=ramp(1.0)),
        lambda h: domain.dan(weight=ramp(1.0)),
    ],
    ids=["dd", "dan"],
)
def test_a_regressor_leaves_the_shortcut(make):
    def error(terms, seed):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        encoder, head = encoders.Encoder(body, WIDTH), heads.Regressor(WIDTH)
        streams = {"source": Stream(lines(False, 1), 32), "target": Stream(lines(True, 2), 32, labels=False)}
        made = Trainer(encoder, [adapt.supervised(head, "source"), *terms(head)], streams, progress=False, seed=seed)
        return made.fit(400).evaluate(head, lines(True, 3, 1000)).value

    plain = median(error(lambda h: [], seed) for seed in SEEDS)
    adapted = median(error(lambda h: [make(h)], seed) for seed in SEEDS)
    assert adapted < 0.8 * plain, (plain, adapted)
