"""Methods as terms: what they train, what they need, and that they do what their papers claim on a constructed case."""

import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, domain, encoders, heads, inductive
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.domain.several import PUBLIC
from tests.adapt.engine.tiny import every_term, network, trainer, weights

METHODS = ["dann", "dan", "deep_coral", "mcc"]


def step(encoder, *, progress=0.5, n=9, m=5, dtype=torch.float32, **options):
    g = torch.Generator().manual_seed(0)
    batches = {
        "source": Batch(torch.randn(n, 6, generator=g, dtype=dtype), torch.arange(n) % 3, torch.arange(n)),
        "target": Batch(torch.randn(m, 6, generator=g, dtype=dtype) + 1, None, torch.arange(m)),
    }
    return Step(batches, encoder, progress=progress, **options)


def test_every_method_is_trained_on_several_ranks():
    assert set(METHODS) <= set(every_term(network()[1])) and set(METHODS) == set(domain.__all__) - PUBLIC


@pytest.mark.parametrize("name", METHODS)
def test_reaches_the_encoder_without_target_labels(name):
    encoder, head = network()
    term = every_term(head)[name]
    term(step(encoder)).backward()
    assert all(p.grad.abs().max() > 0 for p in [encoder.body[0].weight, encoder.body[-1].weight])


@pytest.mark.parametrize("name", METHODS)
def test_bf16_features_change_little(name):
    encoder, head = network()
    term = every_term(head)[name]
    full = term(step(encoder))
    half = term(step(encoder, autocast=torch.autocast("cpu", torch.bfloat16)))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_of_another_size_and_one_without_a_class(name):
    encoder, head = network()
    assert every_term(head)[name](step(encoder, n=2, m=7)).isfinite()


def test_dann_turns_the_gradient_and_scales_it_but_not_the_discriminators():
    def gradients(strength):
        encoder, _ = network()
        torch.manual_seed(3)
        term = domain.dann(8, hidden=16, strength=strength)
        term(step(encoder)).backward()
        return encoder.body[0].weight.grad, term.loss.discriminator.layers[0].weight.grad

    (up, d_up), (down, d_down) = gradients(-1.0), gradients(0.25)
    torch.testing.assert_close(down, -0.25 * up, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(d_up, d_down)


def test_ramps_start_at_zero():
    encoder, head = network()
    terms = every_term(head)
    assert terms["dan"].weight_at(0.0) == 0 and terms["dan"].weight_at(1.0) > 0.99
    terms["dann"](step(encoder, progress=0.0)).backward()
    assert encoder.body[0].weight.grad.abs().max() == 0


def test_the_discriminators_weights_are_saved(tmp_path):
    made, _ = trainer(["dann"])
    path = made.fit(2).save(tmp_path / "one")
    other, _ = trainer(["dann"])
    other.resume(path)
    assert torch.equal(weights(made), weights(other))
    assert any("discriminator" in name for name in made.model.state_dict())


def shifted(rows, angle, seed):
    """Two classes on two sides; the target is turned and stretched, so a source classifier is wrong on part of it."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (rows,), generator=g)
    x = 0.35 * torch.randn(rows, 2, generator=g) + torch.stack([2.0 * y - 1, 0.6 * y], 1)
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    x = x @ torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
    return TensorDataset(x + (0.0 if angle == 0 else 1.0), y)


def moved(method, seed):
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    encoder, head = encoders.Encoder(body, 8), heads.Classifier(8, 2)
    terms = {
        None: [], "dann": [domain.dann(8, hidden=32)], "dan": [domain.dan()], "mcc": [domain.mcc(head)],
        "deep_coral": [domain.deep_coral(weight=10.0)],
    }[method]  # fmt: skip
    data = {
        "source": Stream(shifted(200, 0.0, 1), 64),
        "target": Stream(shifted(200, 0.6, 2), 64, labels=False),
    }
    made = Trainer(
        encoder, [inductive.supervised(head, "source"), *terms], data, progress=False,
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3), seed=seed,
    ).fit(300)  # fmt: skip
    return made.evaluate(head, shifted(1000, 0.6, 3)).value


@pytest.fixture(scope="module")
def source_only():
    return [moved(None, seed) for seed in (0, 1, 2)]


@pytest.mark.parametrize("method", ["dann", "dan"])
def test_alignment_follows_a_shift_that_source_only_does_not(method, source_only):
    gains = [moved(method, seed) - plain for seed, plain in enumerate(source_only)]
    assert max(source_only) < 0.9 and min(gains) > 0.05
