"""Dense features, entropy maps, and BatchNorm that knows the domain."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Stream, Trainer, domain, encoders, heads
from adapt.domain._advent import self_information
from adapt.domain.level import as_rows
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.engine.tiny import cloud, network, weights
from tests.ranks import run_ranks


def test_levels_of_tokens_and_maps():
    g = torch.Generator().manual_seed(0)
    tokens, image = torch.randn(3, 4, 5, generator=g), torch.randn(3, 5, 2, 6, generator=g)
    torch.testing.assert_close(as_rows(tokens, "pooled"), tokens.mean(1))
    torch.testing.assert_close(as_rows(image, "pooled"), image.mean((2, 3)))
    assert torch.equal(as_rows(tokens, "places")[4], tokens[1, 0])
    assert torch.equal(as_rows(image, "places")[12 + 7], image[1, :, 1, 1])
    assert torch.equal(as_rows(image, lambda f: f[:, :, 0, 0]), image[:, :, 0, 0])
    rows = torch.randn(3, 5)
    assert as_rows(rows, None) is rows and as_rows(rows, "pooled") is rows


@pytest.mark.parametrize(
    ("features", "level", "message"),
    [(torch.zeros(2, 3, 4), None, "have places.*pooled")],
)
def test_levels_that_do_not_fit(features, level, message):
    with pytest.raises(ValueError, match=message):
        as_rows(features, level)


class Segmenter(nn.Module):
    """From a feature map to logits at each place."""

    def __init__(self, dim=6, classes=3):
        super().__init__()
        self.layer, self.classes = nn.Conv2d(dim, classes, 1), classes

    def forward(self, features):
        return self.layer(features)

    def loss(self, output, labels):
        return nn.functional.cross_entropy(output, labels)

    def check(self, labels):
        assert labels.ndim == 3

    def measure(self, output, labels):
        return output.argmax(1) == labels

    def score(self, measures, units=None):
        return heads.proportion("pixel accuracy", measures.flatten())


def scenes(seed, shift=0.0, rows=12):
    """Three colours are three classes; the target is darker and bluer."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows, 8, 8), generator=g)
    x = nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2) + 0.1 * torch.randn(rows, 3, 8, 8, generator=g)
    return TensorDataset(x * (1 - shift) + torch.tensor([0, 0, shift])[:, None, None], labels)


def segmentation(terms, seed=0, steps=3, **options):
    torch.manual_seed(seed)
    encoder = encoders.Encoder(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh()), 6)
    head = Segmenter()
    streams = {"source": Stream(scenes(1), 4), "target": Stream(scenes(2, 0.4), 4, labels=False)}
    made = Trainer(
        encoder, [adapt.supervised(head, "source"), *terms(head)], streams, progress=False, seed=seed, **options
    )
    return made.fit(steps), head


@pytest.mark.parametrize("level", ["pooled", "places"])
@pytest.mark.parametrize("method", ["dann", "dan", "deep_coral", "homm", "sliced", "bsp"])
def test_dense_features_are_aligned(method, level):
    make = {"dann": lambda **o: domain.dann(6, hidden=8, **o)}.get(method) or getattr(domain, method)
    made, head = segmentation(lambda head: [make(level=level)])
    assert made.evaluate(head, scenes(3)).n == 12 * 64


def test_pooled_dann_is_dann_on_pooled_features():
    g = torch.Generator().manual_seed(0)
    batches = {
        n: Batch(torch.randn(r, 4, 3, 3, generator=g), None, torch.arange(r)) for n, r in (("source", 5), ("target", 3))
    }
    torch.manual_seed(0)
    dense = domain.dann(4, hidden=8, level="pooled")
    flat = {n: Batch(b.inputs.mean((2, 3)), None, b.index) for n, b in batches.items()}
    torch.manual_seed(0)
    plain = domain.dann(4, hidden=8)
    torch.testing.assert_close(dense(Step(batches, nn.Identity())), plain(Step(flat, nn.Identity())))


def test_advent_sees_shares_of_the_entropy_and_turns_its_gradient():
    z = torch.randn(2, 3, 4, 4, requires_grad=True)
    expected = losses.entropy(z) / torch.log(torch.tensor(3.0))
    torch.testing.assert_close(self_information(z).sum(1).mean(), expected)
    assert self_information(torch.tensor([[[-torch.inf]], [[0.0]]]).transpose(0, 1)).isfinite().all()

    def gradient(strength):
        torch.manual_seed(0)
        head = Segmenter(3)
        term = domain.advent(head, hidden=4)
        term.loss.strength = strength
        batches = {
            n: Batch(scenes(s, d).tensors[0][:4], None, torch.arange(4))
            for n, s, d in (("source", 1, 0.0), ("target", 2, 0.4))
        }
        term(Step(batches, nn.Identity())).backward()
        return head.layer.weight.grad

    torch.testing.assert_close(gradient(torch.tensor(-1.0)), -gradient(1.0))  # a number below 0 is refused
    made, head = segmentation(lambda head: [domain.advent(head, hidden=4)])
    assert any("discriminator" in key for key in made.network.state_dict())


# ---- normalisation ----


def normalized():
    return network(batch_norm=True)


def test_adabn_has_the_targets_statistics():
    encoder, _ = normalized()
    rows = cloud(40, seed=1, shift=3.0)
    before = weights_of(encoder)
    assert domain.adabn(encoder.train(), rows, batch_size=10) is encoder and encoder.training
    layer, first = encoder.body[1], encoder.body[0](rows.tensors[0])
    torch.testing.assert_close(layer.running_mean, first.mean(0).detach())
    expected = torch.stack([part.var(0) for part in first.split(10)]).mean(0).detach()
    torch.testing.assert_close(layer.running_var, expected)
    assert torch.equal(before, weights_of(encoder)) and layer.momentum == 0.1


def weights_of(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.claim
def test_adabn_undoes_a_change_of_scale():
    encoder, head = normalized()
    source = cloud(200)
    target = TensorDataset(3 * source.tensors[0] + 5 * torch.arange(6), source.tensors[1])
    made = Trainer(encoder, [adapt.supervised(head, "source")], {"source": Stream(source, 20)}, progress=False)
    made.fit(200)
    on_source, before = made.evaluate(head, source).value, made.evaluate(head, target).value
    domain.adabn(encoder, target, batch_size=200)
    after = made.evaluate(head, target).value
    assert on_source > 0.8 and abs(after - on_source) < 0.03 and before < on_source - 0.1


@pytest.mark.parametrize("rows", [cloud(), TensorDataset(torch.zeros(0, 6))], ids=["no layer", "no rows"])
def test_adabn_without_layers_or_rows(rows):
    encoder, _ = network(batch_norm=len(rows) == 0)
    with pytest.raises(ValueError, match="needs BatchNorm layers and target rows"):
        domain.adabn(encoder, rows)


def domain_norms(dtype=torch.float32, **options):
    encoder, head = network(batch_norm=True, dtype=dtype)
    shared = domain.DomainNorm(encoder)
    data = {
        "source": Stream(cloud(dtype=dtype), 12),
        "target": Stream(cloud(40, seed=1, shift=5.0, dtype=dtype), 8, labels=False),
    }
    terms = [adapt.supervised(head, "source"), domain.im(head), domain.vat(head, radius=1.0)]
    return Trainer(shared, terms, data, progress=False, device="cpu", **options), head, shared


@pytest.mark.claim
def test_each_domain_has_its_statistics():
    made, head, encoder = domain_norms()
    made.fit(100)
    layers = encoder.encoder.body[1].of
    gap = (layers["target"].running_mean - layers["source"].running_mean).abs()
    assert gap.max() > 0.5 and not torch.equal(layers["source"].weight, layers["target"].weight)
    target, source = cloud(200, seed=5, shift=5.0), cloud(200, seed=4)
    as_target = made.evaluate(head, target).value
    encoder.evaluate_as = "source"
    as_source = made.evaluate(head, source).value
    assert as_source > 0.7 and as_target > made.evaluate(head, target).value
    encoder.evaluate_as = "target"
    assert made.evaluate(head, source, "source").value == as_source and made.evaluate(head, target).value == as_target
    with torch.no_grad():  # what was announced counts for one pass
        rows = source.tensors[0]
        assert torch.equal(encoder.eval()(rows), encoder(rows))


def test_joint_and_separate_passes_are_one():
    joint, apart = domain_norms(torch.float64)[0].fit(5), domain_norms(torch.float64, passes="separate")[0].fit(5)
    torch.testing.assert_close(weights(joint), weights(apart), rtol=1e-9, atol=1e-11)


def test_dsbn_evaluates_no_stream_that_it_does_not_know():
    trainer, head, _ = domain_norms()
    with pytest.raises(ValueError, match="expected rows of the domains"):
        trainer.predict(head, TensorDataset(torch.zeros(4, 6)), "sorce")


def test_dsbn_resumes_and_saves(tmp_path):
    path = domain_norms()[0].fit(3).save(tmp_path / "one")
    again = domain_norms()[0].resume(path)
    assert any("of.target.running_mean" in key for key in again.network.state_dict())


def on_a_rank(rank, world):
    return weights(domain_norms(torch.float64)[0].fit(5))


def test_two_ranks_equal_one():
    first, second = run_ranks(on_a_rank, 2)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, weights(domain_norms(torch.float64)[0].fit(5)), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: domain.DomainNorm(network()[0]), "no BatchNorm layer"),
        (lambda: domain.DomainNorm(normalized()[0], domains=("a",)), "two different streams"),
        (lambda: domain.DomainNorm(normalized()[0], domains=("a", "a")), "two different streams"),
        (
            lambda: domain.DomainNorm(normalized()[0])(torch.zeros(4, 6)),
            "announced by `announce_rows`; got a pass of 4 rows",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
