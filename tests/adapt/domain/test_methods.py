"""Methods as terms: what they train, what they need, and that they do what their papers claim on a constructed case."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, domain, encoders, heads
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.domain.cases import CASES, NOT_A_TERM, flatten_terms, made
from tests.adapt.domain.several import PUBLIC
from tests.adapt.engine.tiny import cloud, network, weights

ROOT = Path(__file__).parents[3]


def step(encoder, *, progress=0.5, n=9, m=5, dtype=torch.float32, labels=None, **options):
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(rows, 6, generator=g, dtype=dtype) for rows in (n, m))
    labels = torch.arange(n) % 3 if labels is None else labels
    batches = {
        "source": Batch(x, labels, torch.arange(n)),
        "target": Batch(y + 1, None, torch.arange(m), (y + 0.9,)),
        "few": Batch(y[:4] + 1, torch.arange(4) % 3, torch.arange(4)),
    }
    asked = ["source", "target", "few"]
    return Step(batches, encoder, progress=progress, streams=asked, **options)


def parts_of(name):
    """Encoder, and all terms of a method: those of its phases too."""
    encoder, head = network()
    torch.manual_seed(3)
    return encoder, flatten_terms(CASES[name].make(encoder, head))


def test_every_method_is_in_the_table_of_cases():
    known = {name.split(" ")[0] for name in CASES} | NOT_A_TERM | PUBLIC
    assert known == set(domain.__all__), "add a case to tests/adapt/domain/cases.py"


def test_every_method_has_its_row_in_the_docs():
    page = (ROOT / "docs" / "methods.md").read_text()
    missing = [name for name in domain.__all__ if f"`domain.{name}`" not in page]
    assert not missing, "add a row to docs/methods.md"


@pytest.mark.parametrize("name", CASES)
def test_reaches_the_encoder_without_target_labels(name):
    encoder, terms = parts_of(name)
    if CASES[name].phases:
        terms = terms[-1:]  # the encoder's phase comes last
    [term(step(encoder)) for term in terms]  # fills a bank
    sum(term(step(encoder)) for term in terms).backward()
    assert all(p.grad.abs().max() > 0 for p in [encoder.body[0].weight, encoder.body[-1].weight])


@pytest.mark.parametrize("name", CASES)
def test_bf16_features_change_little(name):
    full, half = ([term(step(e, autocast=a)) for term in terms] for (e, terms), a in (
        (parts_of(name), None), (parts_of(name), torch.autocast("cpu", torch.bfloat16)),
    ))  # fmt: skip
    for one, other in zip(full, half, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0.08, atol=0.04)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_another_size_and_one_without_a_class(name):
    encoder, terms = parts_of(name)
    for term in terms:
        assert term(step(encoder, n=2, m=7)).isfinite()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.source_labels])
def test_permuted_labels_change_the_value(name):
    values = []
    for labels in (torch.arange(9) % 3, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])):
        encoder, terms = parts_of(name)
        values.append(float(terms[0](step(encoder, labels=labels)).detach()))
    assert abs(values[0] - values[1]) > 1e-4


@pytest.mark.filterwarnings("ignore:.*reached by no term")  # without labels, the term of DD reads a detached head
@pytest.mark.parametrize("name", CASES)
def test_resumes_bit_for_bit(name, tmp_path):
    options = {"network_options": {"batch_norm": True, "dropout": 0.2}}
    whole = made(name, **options)[0].fit(6)
    half = made(name, **options)[0]
    half.planned = 6
    path = stopped_at(half, 3, tmp_path)
    other = made(name, **options)[0].resume(path).fit(6)
    assert torch.equal(weights(whole), weights(other))


def stopped_at(trainer, number, folder):
    """Stop a run of 6 steps after some, as a kill would, with a checkpoint."""
    inner = trainer._step

    def until(*arguments):
        if trainer.step == number:
            raise KeyboardInterrupt
        return inner(*arguments)

    trainer._step = until
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(6)
    return trainer.save(folder / "half")


@pytest.mark.parametrize(
    "name", ["jan", "dsan", "cdan", "mdd", "mcc", "bnm", "im", "vada", "fixmatch", "mean_teacher", "atdoc", "deep_jdot"]
)
@pytest.mark.parametrize("head", [heads.Regressor(8), heads.MultiLabel(8, 3)], ids=lambda h: type(h).__name__)
def test_a_head_without_exclusive_classes_gets_a_clear_sentence(name, head):
    encoder, _ = network()
    with pytest.raises(TypeError, match="classes.*use domain"):
        CASES[name].make(encoder, head)


@pytest.mark.parametrize("name", ["dann", "dan", "deep_coral", "homm", "sliced", "afn", "bsp", "rsd", "wdgrl"])
@pytest.mark.parametrize("labels", ["numbers", "several"])
def test_a_regressor_and_a_multi_label_head_are_adapted_as_a_classifier_is(name, labels):
    encoder, _ = network()
    x = cloud().tensors[0]
    head = heads.Regressor(8) if labels == "numbers" else heads.MultiLabel(8, 3)
    data = TensorDataset(x, x[:, 0] if labels == "numbers" else (x[:, :3] > 0).long())
    streams = {"source": Stream(data, 12), "target": Stream(cloud(40, seed=1), 8, labels=False)}
    parts = CASES[name].make(encoder, head)
    kind = {"phases": parts} if CASES[name].phases else {"terms": [adapt.supervised(head, "source"), *parts]}
    trained = Trainer(encoder, streams=streams, progress=False, **kind).fit(3)
    assert trained.evaluate(head, data).metric == ("mean absolute error" if labels == "numbers" else "label accuracy")


def test_dann_turns_the_gradient_and_scales_it_but_not_the_discriminators():
    def gradients(strength):
        encoder, _ = network()
        torch.manual_seed(3)
        term = domain.dann(8, hidden=16)
        term.loss.strength = strength
        term(step(encoder)).backward()
        return encoder.body[0].weight.grad, term.loss.discriminator.layers[0].weight.grad

    (up, d_up), (down, d_down) = gradients(torch.tensor(-1.0)), gradients(0.25)
    torch.testing.assert_close(down, -0.25 * up, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(d_up, d_down)


def test_ramps_start_at_zero():
    encoder, head = network()
    assert domain.dan().weight(0.0) == 0 and domain.dan().weight(1.0) > 0.99
    domain.dann(8)(step(encoder, progress=0.0)).backward()
    assert encoder.body[0].weight.grad.abs().max() == 0


@pytest.mark.parametrize(
    "name, buffer",
    [("dann", "discriminator"), ("cdan entropy, random", "feature_matrix"), ("atdoc", "bank.features"),
     ("mean_teacher", "teacher"), ("adda", "of_source"), ("mdd", "adversary")],
)  # fmt: skip
def test_what_makes_a_method_is_saved(name, buffer):
    assert any(buffer in key for key in made(name)[0].network.state_dict())


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
        None: [], "dann": [domain.dann(encoder, hidden=32)], "dan": [domain.dan()], "mcc": [domain.mcc(head)],
        "deep_coral": [domain.deep_coral(weight=10.0)],
    }[method]  # fmt: skip
    data = {
        "source": Stream(shifted(200, 0.0, 1), 64),
        "target": Stream(shifted(200, 0.6, 2), 64, labels=False),
    }
    made = Trainer(
        encoder, [adapt.supervised(head, "source"), *terms], data, progress=False,
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3), seed=seed,
    ).fit(300)  # fmt: skip
    return made.evaluate(head, shifted(1000, 0.6, 3)).value


@pytest.fixture(scope="module")
def source_only():
    return [moved(None, seed) for seed in (0, 1, 2)]


@pytest.mark.claim
@pytest.mark.parametrize("method", ["dann", "dan"])
def test_alignment_follows_a_shift_that_source_only_does_not(method, source_only):
    gains = [moved(method, seed) - plain for seed, plain in enumerate(source_only)]
    assert max(source_only) < 0.9 and min(gains) > 0.05
