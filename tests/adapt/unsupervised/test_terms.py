"""Terms of self-supervised learning: values against the papers, ranks, accumulation, resume, half precision, doors."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch

from adapt import Stream, Term, Trainer, unsupervised
from adapt.engine import Step
from adapt.randomness import keyed_numbers, mixed
from adapt.streams import Batch
from tests.adapt.engine.tiny import DIM, cloud, weights
from tests.adapt.unsupervised.cases import CASES, made, network
from tests.losses.arithmetic import softmax
from tests.losses.contrastive import references
from tests.ranks import run_ranks

STEPS = 8
SGD = partial(torch.optim.SGD, lr=0.05)


def trainer_of(name, **options):
    return made(name, dtype=torch.float64, optimizer=SGD, **options)


# ---- values ----


def batch(count=3, rows=6, seed=5):
    g = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(rows, DIM, generator=g, dtype=torch.float64) for _ in range(count)]
    return Batch(inputs[0], None, torch.arange(rows) * 3, tuple(inputs[1:]))


def value_of(name, number=0, count=3):
    """Return a term, its value in one step, the step, and the features of each view."""
    encoder = network(torch.float64)
    torch.manual_seed(3)
    term = CASES[name](encoder)
    term.loss.double()
    step = Step({"rows": batch(count)}, encoder, number=number, streams=["rows"], seed=1)
    value = term(step)
    return term, value.item(), step, [view.features for view in step["rows"].views]


def projected(term, features):
    """The projected views, with batch normalisation written out over the rows of all views."""
    x = torch.cat(features)
    for layer in term.loss.project:
        if isinstance(layer, torch.nn.BatchNorm1d):
            x = (x - x.mean(0)) / (x.var(0, correction=0) + layer.eps).sqrt()
        else:
            x = layer(x)
    return [z.detach().numpy() for z in x.split(len(features[0]))]


def pairs(values):
    return [(values[a], values[b]) for a in range(len(values)) for b in range(a + 1, len(values))]


@pytest.mark.parametrize("name", ["simclr", "vicreg", "barlow_twins"])
def test_a_loss_of_two_views_is_the_mean_over_pairs_of_views(name):
    term, value, _, features = value_of(name)
    reference = {"simclr": references.nt_xent, "vicreg": references.vicreg, "barlow_twins": references.barlow_twins}
    expected = np.mean([reference[name](x, y) for x, y in pairs(projected(term, features))])
    assert value == pytest.approx(expected, rel=1e-9)


def test_lejepa_predicts_the_mean_of_the_global_views_and_is_gaussian_along_directions():
    term, value, step, features = value_of("lejepa")
    z = projected(term, features)
    mean = (z[0] + z[1]) / 2
    prediction = sum(((mean - v) ** 2).mean() for v in z) / 3
    g, gaussian = Step({}, network(), seed=1).generator, 0.0
    for v in z:  # each view has directions of its own, drawn one after another
        theta = torch.nn.functional.normalize(torch.randn(8, 5, generator=g).double(), dim=1).numpy()
        gaussian += references.sigreg(v, directions=theta) / 3
    assert value == pytest.approx(0.7 * prediction + 0.3 * gaussian, rel=1e-9)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sinkhorn(scores, iterations=3):
    Q = np.exp(scores / 0.05)
    for _ in range(iterations):
        Q = Q / Q.sum(0, keepdims=True)
        Q = Q / Q.sum(1, keepdims=True)
    return Q


def cross_entropy(q, scores, temperature):
    return -np.mean([np.dot(q[i], np.log(softmax(scores[i] / temperature))) for i in range(len(q))])


def test_swav_swaps_assignments_between_a_global_view_and_every_other_view():
    term, value, _, features = value_of("swav")
    C = unit(term.loss.prototypes.weight.detach().numpy())
    scores = [unit(z) @ C.T for z in projected(term, features)]
    found = [cross_entropy(sinkhorn(scores[a]), scores[b], 0.1) for a, b in permutations(range(3), 2) if a < 2]
    assert len(found) == 4 and value == pytest.approx(np.mean(found), rel=1e-9)


def test_the_queue_of_swav_takes_part_when_it_is_full_and_moves_once_per_step():
    encoder = network(torch.float64)
    term = CASES["swav queue"](encoder)
    loss = term.loss.double()

    def take(number):
        step = Step({"rows": batch(seed=number)}, encoder, number=number, streams=["rows"])
        value = term(step).item()
        return value, [unit(z) for z in projected(term, [v.features for v in step["rows"].views])]

    first, _ = take(0)
    again, _ = take(0)  # the second micro-batch of the step: the queue is still empty
    assert first == again and not loss.queue.any() and loss.filled == 12
    take(1)
    assert torch.equal(loss.queue[:, :12], loss.coming[:, 6:18]) and loss.queue[:, :12].any() and loss.filled == 18
    take(2)
    assert not loss.full and loss.filled == 24
    value, z = take(3)
    C = unit(loss.prototypes.weight.detach().numpy())
    scores = [v @ C.T for v in z]
    assert loss.full
    for older, equal in ((24, True), (0, False)):
        q = [sinkhorn(np.concatenate([scores[a], loss.queue[a, :older].numpy() @ C.T]))[:6] for a in range(2)]
        found = [cross_entropy(q[a], scores[b], 0.1) for a, b in permutations(range(3), 2) if a < 2]
        assert (value == pytest.approx(np.mean(found), rel=1e-9)) == equal


def test_dino_is_the_cross_entropy_with_a_centred_teacher_that_moves_once_per_step():
    encoder = network(torch.float64)
    torch.manual_seed(3)
    term = CASES["dino"](encoder)
    dino = term.loss.double()
    start = {k: v.clone() for k, v in dino.teacher.state_dict().items()}

    def take(number):
        step = Step({"rows": batch()}, encoder, number=number, streams=["rows"])
        with torch.no_grad():
            value = term(step).item()
            taught = [dino.teacher(view.inputs).numpy() for view in step["rows"].views[:2]]
            learned = [dino.head(encoder(view.inputs)).numpy() for view in step["rows"].views]
        return value, taught, learned

    def expected(taught, learned, centre):
        found = []
        for a in range(2):
            q = np.array([softmax((t - centre) / 0.04) for t in taught[a]])
            found += [cross_entropy(q, learned[b], 0.1) for b in range(3) if b != a]
        return np.mean(found)

    value, taught, learned = take(0)
    assert value == pytest.approx(expected(taught, learned, np.zeros(7)), rel=1e-9)
    mean = np.concatenate(taught).mean(0)
    take(0)  # another micro-batch of the step moves nothing
    assert all(torch.equal(v, start[k]) for k, v in dino.teacher.state_dict().items())
    assert not dino.centre.value.any()
    with torch.no_grad():
        for p in (*encoder.parameters(), *dino.head.parameters()):
            p += 0.1
    value, taught, learned = take(1)
    centre = 0.1 * mean
    np.testing.assert_allclose(dino.centre.value, centre, rtol=1e-9)
    assert value == pytest.approx(expected(taught, learned, centre), rel=1e-9)
    moved = {k: v - start[k] for k, v in dino.teacher.state_dict().items()}
    assert all(torch.allclose(v, torch.full_like(v, 0.01)) for v in moved.values())


def test_masked_reconstruction_is_the_squared_error_behind_whole_patches():
    term, value, step, _ = value_of("masked_reconstruction")
    x, total = step["rows"].inputs, 0.0
    again = Step({"rows": batch()}, network(), number=0, streams=["rows"], seed=1)
    hidden = term.loss.hidden(again)
    assert (hidden.view(6, 3, 2).all(2) == hidden.view(6, 3, 2).any(2)).all(), "a patch is hidden as a whole"
    assert (hidden.sum(1) == 2).all(), "a share of 0.4 of three patches is one patch"
    assert len({tuple(row.tolist()) for row in hidden}) > 1
    for row, gone in zip(x, hidden, strict=True):
        seen = torch.where(gone, 0.0, row)
        guess = term.loss.decoder(step.encoder_of("rows")(seen[None]))[0].detach()
        total += sum(float(guess[p] - row[p]) ** 2 for p in range(DIM) if gone[p])
    assert value == pytest.approx(total / 12, rel=1e-9)
    other = Step({"rows": batch()}, network(), number=1, streams=["rows"], seed=1)
    assert not torch.equal(hidden, term.loss.hidden(other))


@pytest.mark.parametrize(("shape", "patch"), [((3, 8, 8), (3, 4, 2)), ((20, 2), (5, 2)), ((9,), (1,))])
def test_patches_of_images_tables_and_series(shape, patch):
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), 4))
    term = unsupervised.masked_reconstruction(4, on="rows", shape=shape, patch=patch, share=0.5)
    x = torch.randn(5, *shape)
    step = Step({"rows": Batch(x, None, torch.arange(5))}, encoder, streams=["rows"])
    term(step).backward()
    hidden = term.loss.hidden(step)
    blocks = int(np.prod(shape)) // int(np.prod(patch))
    assert (hidden.flatten(1).sum(1) == round(0.5 * blocks) * np.prod(patch)).all()
    assert hidden.shape == x.shape and encoder[1].weight.grad.any()


# ---- ranks, accumulation, resume, precision ----


def on_a_rank(rank, world):
    return {name: weights(trainer_of(name).fit(STEPS)) for name in CASES}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one(ranks, name):
    made = trainer_of(name)
    start, whole = weights(made), weights(made.fit(STEPS))
    assert torch.equal(ranks[0][name], ranks[1][name]), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (ranks[0][name] - whole).norm() / whole.norm() < 1e-10


@pytest.mark.parametrize("name", ["dino", "masked_reconstruction"])
def test_accumulation_is_exact_where_the_loss_is_a_mean_over_rows(name):
    whole, parts = (
        trainer_of(name, **options).fit(STEPS).network.state_dict() for options in ({}, {"batch": 4, "accumulate": 3})
    )
    for state in (whole, parts):  # what waits for the next step is a sum over the micro-batches, and their number
        for key in [k for k in state if k.endswith(".waiting")]:
            state[key] = state[key] / state.pop(key.replace("waiting", "parts"))
    tensors = [key for key, value in whole.items() if isinstance(value, torch.Tensor)]
    assert len(tensors) >= 8
    for key in tensors:
        torch.testing.assert_close(whole[key], parts[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_is_the_run_never_stopped(name, tmp_path):
    whole = weights(made(name).fit(STEPS))
    path = made(name).fit(3, planned=STEPS).save(tmp_path / "half")
    again = made(name).resume(path)
    assert torch.equal(weights(again.fit(STEPS)), whole)
    back = again.resume(path)  # the same trainer goes back
    assert torch.equal(weights(back.fit(STEPS)), whole)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_learns_near_float32(name):
    half, full = (weights(made(name, precision=p, optimizer=SGD).fit(4)) for p in ("bf16", "float32"))
    assert half.isfinite().all() and (half - full).norm() / full.norm() < 0.1


# ---- views, doors ----


def test_views_of_other_sizes_take_part():
    encoder = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 8))
    crop = lambda size: lambda x: x[:, :size, :size]  # noqa: E731
    x = torch.randn(32, 1, 12, 12)
    stream = Stream(torch.utils.data.TensorDataset(x), 8, labels=False, views=[crop(12), crop(12), crop(8), crop(6)])
    terms = [
        unsupervised.swav(8, on="rows", prototypes=7, hidden=12, projection=5),
        unsupervised.lejepa(8, on="rows", hidden=12, directions=8),
        unsupervised.dino(network_of(encoder), on="rows", prototypes=7, hidden=12, bottleneck=5),
    ]
    made = Trainer(encoder, terms, {"rows": stream}, progress=False, device="cpu")
    before = encoder[2].weight.clone()
    made.fit(2)
    assert not torch.equal(before, encoder[2].weight)


def network_of(body):
    from adapt import encoders

    return encoders.wrap(body, 8)


@pytest.mark.parametrize("name", [n for n in CASES if n != "masked_reconstruction"])
def test_one_view_is_refused_before_the_first_step(name):
    with pytest.raises(ValueError, match="compares views, and stream `rows` has 1: give"):
        made(name, count=1)


def test_wrong_options_are_refused_when_the_term_is_made():
    masked = partial(unsupervised.masked_reconstruction, 8, on="rows")
    with pytest.raises(ValueError, match="`patch` must divide `shape`"):
        masked(shape=(3, 8), patch=(3, 3))
    with pytest.raises(ValueError, match="`patch` must divide `shape`"):
        masked(shape=(3, 8), patch=(3,))
    with pytest.raises(ValueError, match="at least 2 patches"):
        masked(shape=(3, 8), patch=(3, 8))
    with pytest.raises(TypeError, match="`encoder` must be a feature size or an encoder"):
        unsupervised.simclr("resnet", on="rows")


def test_masked_reconstruction_refuses_other_inputs():
    term = unsupervised.masked_reconstruction(8, on="rows", shape=(5,), patch=(1,))
    for inputs in (torch.zeros(4, 6), torch.zeros(4, 5, dtype=torch.long), {"x": torch.zeros(4, 5)}):
        step = Step({"rows": Batch(inputs, None, torch.arange(4))}, torch.nn.Identity(), streams=["rows"])
        with pytest.raises(ValueError, match="must be floating point tensors of `shape`"):
            term(step)


@pytest.mark.parametrize("name", CASES)
def test_two_terms_of_a_kind_stand_side_by_side(name):
    encoder = network()
    terms = [CASES[name](encoder), CASES[name](encoder)]
    terms[1] = Term("other", terms[1].loss, streams=["rows"])
    stream = Stream(cloud(), 12, labels=False, views=[None, None])
    made = Trainer(encoder, terms, {"rows": stream}, progress=False, device="cpu").fit(1)
    assert made.step == 1


def test_keyed_numbers_depend_on_key_row_and_place_alone():
    rows = torch.tensor([5, 0, 2**40, 7])
    found = keyed_numbers(3, rows, 4)
    assert torch.equal(found[[3, 0]], keyed_numbers(3, rows[[3, 0]], 4)) and len(found.unique()) == 16
    assert torch.equal(found[:, :2], keyed_numbers(3, rows, 2)) and not (found == keyed_numbers(4, rows, 4)).any()
    many = keyed_numbers(0, torch.arange(3000), 8)
    shares = (many.argsort(1).argsort(1) < 2).double().mean(0)  # each place is equally often among the two smallest
    assert ((shares - 0.25).abs() < 4 * (0.25 * 0.75 / 3000) ** 0.5).all()
    bits = ((many[..., None] >> torch.arange(64)) & 1).double().mean((0, 1))
    assert ((bits - 0.5).abs() < 5 * 0.5 / 24000**0.5).all()


def test_keyed_numbers_are_those_of_splitmix64():
    """The first outputs for the seed 1234567, as published beside the algorithm."""
    start, expected = 1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    mask, found = 2**64 - 1, []
    for place in range(1, 4):
        x = (start + place * 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        found.append(x ^ (x >> 31))
    assert found == expected
    steps = start + torch.arange(1, 4) * (0x9E3779B97F4A7C15 - 2**64)
    assert [value % 2**64 for value in mixed(steps).tolist()] == expected
