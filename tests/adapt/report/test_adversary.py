"""One sentence on the discriminator: planted courses of its accuracy, and real runs."""

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, domain, encoders, heads, report
from adapt.report import Interval


def course(*parts, noise=0.03, points=12):
    """Log rows of a run with the mean accuracies `parts`, one for each third."""
    means = numpy.repeat(parts, points // len(parts))
    values = means + noise * numpy.random.default_rng(0).standard_normal(len(means))
    return [{"step": 50 * k, "loss/total": 1.0, "domain_accuracy/dann": v} for k, v in enumerate(values)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((0.97, 0.98, 0.97), "to the end"),
        ((0.9, 0.7, 0.52), "The discriminator does its work"),
        ((0.5, 0.51, 0.5), "from the first to the last"),
        ((0.8, 0.5, 0.3), "swing"),
        ((0.9, 0.8, 0.75), "hold each other"),
    ],
)
def test_every_course_has_its_sentence(parts, said):
    sentence = report.adversary(course(*parts))
    assert said in sentence and sentence.startswith("dann: ")
    curves = {"domain_accuracy/dann": [(row["step"], row["domain_accuracy/dann"]) for row in course(*parts)]}
    assert report.adversary(curves) == sentence


def test_an_early_peak_counts():
    rows = course(*[0.5, 0.8, 0.5, 0.5, 0.5, 0.5], points=24)
    assert "does its work" in report.adversary(rows)


def test_a_new_classifier_has_the_last_word():
    rows = course(0.9, 0.7, 0.52)
    assert "are not aligned" in report.adversary(rows, a_distance=Interval(1.6, 1.5, 1.7))
    assert "cannot tell the domains apart either" in report.adversary(rows, a_distance=Interval(0.1, 0.0, 0.3))
    assert "a little" in report.adversary(rows, a_distance=Interval(0.5, 0.4, 0.6))


def test_what_is_not_there_is_said():
    assert "No scalar of a discriminator" in report.adversary([{"step": 0, "loss/total": 1.0}])
    assert "No scalar of a discriminator" in report.adversary([])
    assert "too few" in report.adversary(course(0.9, 0.7, 0.5, points=3))
    with pytest.raises(TypeError, match="`history` must be"):
        report.adversary(3)


@pytest.mark.parametrize(
    ("move", "strength", "said"),
    [(6.0, 0.0, "to the end"), (0.0, adapt.ramp(1.0), "by chance"), (3.0, adapt.ramp(1.0), "does its work")],
)
def test_of_real_runs(move, strength, said):
    """Domains far apart without a reversed gradient, equal domains, and domains that the features bring together."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    x, labels = torch.randn(400, 6, generator=g), torch.randint(2, (400,), generator=g)
    x[:, 0] += 4 * labels
    y = torch.randn(400, 6, generator=g)
    y[:, 0] += 4 * torch.randint(2, (400,), generator=g)
    y[:, 1] += move
    encoder = encoders.Encoder(torch.nn.Linear(6, 4), 4)
    head = heads.Classifier(4, 2)
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="source"), domain.dann(encoder, strength=strength, hidden=32)],
        {"source": Stream(TensorDataset(x, labels), 100), "target": Stream(TensorDataset(y), 100, labels=False)},
        callbacks=[lambda logged: None], log_every=15, progress=False, device="cpu",
        optimizer=lambda groups: torch.optim.Adam(groups, lr=5e-3),
    )  # fmt: skip
    assert said in report.adversary(trainer.fit(steps=240).history)
