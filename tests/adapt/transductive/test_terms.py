"""Terms on unlabelled target rows: ranks, resume, precision, labels that nobody reads, wrong calls."""

from functools import partial

import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, heads, transductive
from adapt.engine import Step, Term
from adapt.streams import Batch
from tests.adapt.domain.test_methods import stopped_at
from tests.adapt.engine.tiny import cloud, network, weights
from tests.ranks import run_ranks

ROWS, STEPS = 40, 12  # two epochs and a half
CASES = {
    "shot_im": transductive.shot_im,
    "shot": transductive.shot,
    "cbst": transductive.cbst,
    "nrc": transductive.nrc,
    "aad": partial(transductive.aad, decay=0.5),
}
WITH_STATE = [name for name in CASES if name != "shot_im"]
DTYPES = {torch.float64: 1e-10, torch.float32: 2e-5}


def target(dtype=torch.float32):
    return cloud(ROWS, seed=1, shift=0.7, dtype=dtype)


def made(name, *, dtype=torch.float32, data=None, seed=0, network_options=None, **options):
    encoder, head = network(dtype=dtype, seed=seed, **(network_options or {}))
    data = target(dtype) if data is None else data
    terms = CASES[name](head, encoder=encoder, dataset=data)
    stream = Stream(data, 8, labels=False)
    sgd = partial(torch.optim.SGD, lr=0.05)
    return Trainer(encoder, terms, {"target": stream}, optimizer=sgd, progress=False, device="cpu", **options)


def on_a_rank(rank, world):
    return {(name, dtype): weights(made(name, dtype=dtype).fit(STEPS)) for name in CASES for dtype in DTYPES}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one(ranks, name, dtype):
    trainer = made(name, dtype=dtype)
    start = weights(trainer)
    whole = weights(trainer.fit(STEPS))
    first, second = (found[name, dtype] for found in ranks)
    assert torch.equal(first, second), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (first - whole).norm() / whole.norm() < DTYPES[dtype]


@pytest.mark.parametrize("at", [3, 5])  # inside of the first epoch, and between two epochs
@pytest.mark.parametrize("name", CASES)
def test_resumes_bit_for_bit(name, at, tmp_path):
    options = {"network_options": {"batch_norm": True, "dropout": 0.2}}
    whole = made(name, **options).fit(6)
    half = made(name, **options)
    half.planned = 6
    path = stopped_at(half, at, tmp_path)
    other = made(name, seed=4, **options).resume(path).fit(6)
    assert torch.equal(weights(whole), weights(other))


@pytest.mark.parametrize("name", WITH_STATE)
def test_labels_and_bank_are_saved(name):
    keys = made(name).network.state_dict()
    assert any(key.endswith(("labels", "bank.features")) for key in keys)


@pytest.mark.parametrize("name", CASES)
def test_the_labels_of_the_target_are_not_read(name):
    x, y = target().tensors
    trained = [weights(made(name, data=data).fit(STEPS)) for data in
               (TensorDataset(x, y), TensorDataset(x, (y + 1) % 3), TensorDataset(x))]  # fmt: skip
    assert torch.equal(trained[0], trained[1]) and torch.equal(trained[0], trained[2])


@pytest.mark.parametrize("name", CASES)
def test_bf16_changes_little_and_randomness_is_untouched(name):
    state = torch.get_rng_state()
    full, half = (step_of(name, autocast=a) for a in (None, torch.autocast("cpu", torch.bfloat16)))
    for one, other in zip(full, half, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0.08, atol=0.04)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    made(name)  # draws the weights of the network
    after = torch.get_rng_state()
    torch.manual_seed(0)
    network()
    assert torch.equal(after, torch.get_rng_state()) and not torch.equal(before, after)
    torch.set_rng_state(state)


def step_of(name, rows=8, **options):
    """The values of the terms on one batch."""
    encoder, head = network()
    data = target()
    terms = CASES[name](head, encoder=encoder, dataset=data)
    index = torch.arange(rows) * 3
    step = Step({"target": Batch(data.tensors[0][index], None, index)}, encoder, progress=0.5, **options)
    return [term(step) for term in ([terms] if isinstance(terms, Term) else terms)]


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_one_row(name):
    assert all(value.isfinite() for value in step_of(name, rows=1))


@pytest.mark.parametrize("name", WITH_STATE)
def test_evaluation_leaves_training_mode_and_statistics_alone(name):
    trainer = made(name, network_options={"batch_norm": True})
    encoder, norm = trainer.encoder, trainer.encoder.body[1]
    trainer.network.train()
    before = norm.running_mean.clone()
    [loss] = [term.loss for term in trainer.terms if hasattr(term.loss, "predictions")]
    loss.predictions()
    assert encoder.training and norm.training and torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("name", WITH_STATE)
def test_other_rows_than_those_of_the_stream_are_refused(name):
    encoder, head = network()
    terms = CASES[name](head, encoder=encoder, dataset=cloud(30))
    with pytest.raises(ValueError, match="`dataset` must hold the 40 rows of stream `target`, got 30"):
        Trainer(encoder, terms, {"target": Stream(target(), 8, labels=False)}, progress=False)
    with pytest.raises(KeyError, match="unknown stream `target`"):
        Trainer(encoder, terms, {"new": Stream(cloud(30), 8, labels=False)}, progress=False)


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_get_a_sentence(name, value):
    x = target().tensors[0].clone()
    x[7] = value
    with pytest.raises((ValueError, FloatingPointError), match="finite"):
        made(name, data=TensorDataset(x)).fit(1)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("head", [heads.Regressor(8), heads.MultiLabel(8, 3)], ids=lambda h: type(h).__name__)
def test_a_head_without_exclusive_classes_gets_a_sentence(name, head):
    encoder, _ = network()
    with pytest.raises(TypeError, match="must tell exclusive classes apart"):
        CASES[name](head, encoder=encoder, dataset=target())


def test_the_share_of_confident_rows_grows_from_epoch_to_epoch():
    trainer, shares = made("cbst"), []
    for step in trainer.steps(40):
        if step.number % 5 == 4:
            shares.append(float((trainer.terms[0].loss.labels >= 0).float().mean()))
    assert shares == sorted(shares) and 0.2 <= shares[0] < 0.35 and 0.45 < shares[-1] < 0.65
