"""What holds for several losses of the room: rows of zeros, bad arguments, several ranks."""

import copy

import pytest
import torch

import losses
from tests.losses.contrastive import references
from tests.ranks import run_ranks

x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
y = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
labels = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
BY_COSINE = {
    "info_nce": losses.info_nce,
    "info_nce bank": lambda a, b: losses.info_nce(b, b, a),
    "nt_xent": losses.nt_xent,
    "supervised_contrastive": lambda a, b: losses.supervised_contrastive(torch.cat([a, b]), labels.repeat(2)),
    "byol": losses.byol,
    "alignment": losses.alignment,
    "uniformity": lambda a, b: losses.uniformity(torch.cat([a, b])),
}


@pytest.mark.parametrize("loss", BY_COSINE.values(), ids=BY_COSINE.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_of_zeros_have_cosine_zero_and_no_gradient(loss, dtype):
    a, b = x.to(dtype, copy=True), y.to(dtype)
    a[2] = 0
    a.requires_grad_()
    value = loss(a, b)
    value.backward()
    assert value.isfinite() and a.grad.isfinite().all()
    assert (a.grad[2] == 0).all() and (a.grad.abs().sum(1) > 0).sum() == 7
    near = a.detach().clone()
    near[2] = 1e-3  # not zero: as long as any other row
    assert (loss(near, b) - value).abs() > 2e-5
    nothing = torch.zeros_like(a).requires_grad_()
    loss(nothing, torch.zeros_like(b)).backward()
    assert (nothing.grad == 0).all()


@pytest.mark.parametrize("loss", BY_COSINE.values(), ids=BY_COSINE.keys())
def test_the_length_of_a_row_does_not_matter(loss):
    lengths = torch.linspace(0.01, 100, 8)[:, None]
    torch.testing.assert_close(loss(lengths * x, y), loss(x, y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.supervised_contrastive, losses.neighbourhood_components, losses.triplet], ids=lambda f: f.__name__
)
def test_rows_alone_in_their_class_are_left_out(loss):
    everybody_alone = x.clone().requires_grad_()
    value = loss(everybody_alone, torch.arange(8))
    value.backward()
    assert value == 0 and (everybody_alone.grad == 0).all()
    alone = torch.tensor([0, 0, 1, 1, 0, 0, 1, 7])
    with_one_alone = x.clone().requires_grad_()
    loss(with_one_alone, alone).backward()
    assert with_one_alone.grad.isfinite().all() and with_one_alone.grad[7].abs().max() > 0  # as a negative it counts


VIEWS = [losses.info_nce, losses.nt_xent, losses.vicreg, losses.barlow_twins, losses.byol, losses.alignment]
LABELLED = [losses.supervised_contrastive, losses.neighbourhood_components, losses.triplet]


@pytest.mark.parametrize("loss", [*VIEWS, losses.swapped_prediction], ids=lambda f: f.__name__)
def test_two_views_must_fit(loss):
    with pytest.raises(ValueError, match="same shape with n >= 1 rows, got \\(8, 3\\) and \\(7, 3\\)"):
        loss(x, y[:7])
    with pytest.raises(ValueError, match="must be \\(n, "):
        loss(x[0], y[0])


@pytest.mark.parametrize("loss", LABELLED, ids=lambda f: f.__name__)
def test_features_and_labels_must_fit(loss):
    with pytest.raises(ValueError, match="`features` must be \\(n, d\\)"):
        loss(x[None], labels)
    with pytest.raises(ValueError, match="`labels` must hold one class"):
        loss(x, labels[:7])
    with pytest.raises(ValueError, match="`labels` must be whole numbers"):
        loss(x, labels.float())


S = torch.tensor([0, 1, 0, 1, 2, 2, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.info_nce(x, y, temperature=0), "`temperature` must be a positive number"),
        (lambda: losses.info_nce(x, y, x[:, :2]), "`negatives` must have the feature size 3"),
        (lambda: losses.info_nce(x, y, x, symmetric=True), "symmetric=False"),
        (lambda: losses.info_nce(x, y, x[0]), "`negatives` must be"),
        (lambda: losses.nt_xent(x, y, temperature=-1), "`temperature` must be a positive number"),
        (lambda: losses.supervised_contrastive(x, labels, temperature=0), "`temperature` must be a positive number"),
        (lambda: losses.neighbourhood_components(x, labels, temperature=0), "`temperature` must be a positive number"),
        (lambda: losses.triplet(x, labels, margin=0), "`margin` must be a positive number"),
        (lambda: losses.triplet(x, labels, margin=None, mining="semihard"), "needs a `margin`"),
        (lambda: losses.triplet(x, labels, mining="easy"), "`mining` must be"),
        (lambda: losses.triplet(x, labels, average="some"), "`average` must be"),
        (lambda: losses.semantic_alignment(x, y[:, :2], S, S), "same feature size"),
        (lambda: losses.semantic_alignment(x, y, S[:5], S), "_labels` must hold"),
        (lambda: losses.semantic_alignment(x, y, S, S[:5]), "_labels` must hold"),
        (lambda: losses.semantic_alignment(x, y, S, S, margin=0), "`margin` must be a positive number"),
        (lambda: losses.vicreg(x, y, epsilon=0), "`epsilon` must be a positive number"),
        (lambda: losses.barlow_twins(x, y, epsilon=-1), "`epsilon` must be a number of at least 0"),
        (lambda: losses.byol(x, y, weights=torch.ones(7)), "`weights` must hold"),
        (lambda: losses.sinkhorn_assignment(x[0]), "`scores` must be"),
        (lambda: losses.sinkhorn_assignment(x, temperature=0), "`temperature` must be a positive number"),
        (lambda: losses.sinkhorn_assignment(x, iterations=0), "`iterations` must be a whole number of at least 1"),
        (lambda: losses.swapped_prediction(x, y, temperature=0), "`temperature` must be a positive number"),
        (
            lambda: losses.swapped_prediction(x, y, assignment_temperature=0),
            "`assignment_temperature` must be a positive number",
        ),
        (lambda: losses.self_distillation(x, y[:7], x[0]), "same shape"),
        (lambda: losses.self_distillation(x[0], y[0], x[0]), "`student_logits` must be"),
        (lambda: losses.self_distillation(x, y, x[0, :2]), "`centre` must have shape \\(3,\\), got \\(2,\\)"),
        (
            lambda: losses.self_distillation(x, y, x[0], student_temperature=0),
            "`student_temperature` must be a positive number",
        ),
        (
            lambda: losses.self_distillation(x, y, x[0], teacher_temperature=0),
            "`teacher_temperature` must be a positive number",
        ),
        (lambda: losses.Centre(3, momentum=1.0), "`momentum` must be in"),
        (lambda: losses.Centre(3, momentum=-0.1), "`momentum` must be in"),
        (lambda: losses.Centre(3).update(x[:, :2]), "must have 3 classes, got 2"),
        (lambda: losses.Centre(3).update(x[0]), "`teacher_logits` must be"),
        (lambda: losses.alignment(x, y, power=0), "`power` must be a positive number"),
        (lambda: losses.uniformity(x, scale=0), "`scale` must be a positive number"),
        (lambda: losses.uniformity(x[0]), "`features` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


GLOBAL = {
    "info_nce": lambda a, b, y, **o: losses.info_nce(a, b, symmetric=True, **o),
    "nt_xent": lambda a, b, y, **o: losses.nt_xent(a, b, **o),
    "supervised_contrastive": lambda a, b, y, **o: losses.supervised_contrastive(a, y, **o),
    "neighbourhood_components": lambda a, b, y, **o: losses.neighbourhood_components(a, y, **o),
    "triplet": lambda a, b, y, **o: losses.triplet(a, y, **o),
    "semantic_alignment": lambda a, b, y, **o: losses.semantic_alignment(a, b, y, y, **o),
    "vicreg": lambda a, b, y, **o: losses.vicreg(a, b, **o),
    "barlow_twins": lambda a, b, y, **o: losses.barlow_twins(a, b, **o),
    "swapped_prediction": lambda a, b, y, **o: losses.swapped_prediction(a, b, **o),
    "uniformity": lambda a, b, y, **o: losses.uniformity(a, **o),
}


def on_two_ranks(rank, world):
    mine = [v.chunk(world)[rank] for v in (x, y, labels)]
    alone = {name: loss(*mine, global_batch=False).item() for name, loss in GLOBAL.items()}
    every = {name: loss(*mine).item() for name, loss in GLOBAL.items()}
    centre = losses.Centre(3)
    centre.update(mine[0])
    return alone, every, losses.sinkhorn_assignment(mine[0]).numpy(), centre.value.numpy()


def test_two_ranks_together_and_each_for_itself():
    found = run_ranks(on_two_ranks, 2)
    for rank, (alone, every, assignment, centre) in enumerate(found):
        half = [v.chunk(2)[rank] for v in (x, y, labels)]
        for name, loss in GLOBAL.items():
            assert alone[name] == pytest.approx(loss(*half).item(), rel=1e-5), name
            assert alone[name] != pytest.approx(every[name], rel=1e-3), name
        torch.testing.assert_close(torch.tensor(assignment), losses.sinkhorn_assignment(x).chunk(2)[rank])
        torch.testing.assert_close(torch.tensor(centre), 0.1 * x.mean(0))
    for name, loss in GLOBAL.items():
        assert (found[0][1][name] + found[1][1][name]) / 2 == pytest.approx(loss(x, y, labels).item(), rel=1e-5), name


def test_sinkhorn_assignment_is_that_of_the_definition():
    scores = 0.1 * torch.randn(9, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for options in ({}, {"temperature": 0.3, "iterations": 5}):
        found, defined = losses.sinkhorn_assignment(scores, **options), references.sinkhorn(scores.numpy(), **options)
        torch.testing.assert_close(found, torch.from_numpy(defined), rtol=1e-10, atol=1e-12)


def test_sinkhorn_assignment_shares_out_and_holds_the_gradient():
    scores = torch.randn(12, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    Q = losses.sinkhorn_assignment(scores, iterations=200, temperature=0.5)
    assert not Q.requires_grad and Q.dtype == torch.float32
    torch.testing.assert_close(Q.sum(1), torch.ones(12))
    torch.testing.assert_close(Q.sum(0), torch.full((4,), 3.0), rtol=1e-4, atol=1e-4)
    huge = losses.sinkhorn_assignment(1e4 * scores.to(torch.bfloat16))
    assert huge.isfinite().all() and huge.dtype == torch.float32


def test_the_centre_moves_when_told_to_and_is_saved():
    centre = losses.Centre(3)
    centre.update(x)
    centre.update(y)
    torch.testing.assert_close(centre.value, 0.9 * 0.1 * x.mean(0) + 0.1 * y.mean(0))
    before = centre.value.clone()
    losses.self_distillation(x, y, centre.value)
    assert torch.equal(centre.value, before)
    other = losses.Centre(3, momentum=0.5)
    other.load_state_dict(copy.deepcopy(centre.state_dict()))
    assert torch.equal(other.value, before) and set(centre.state_dict()) == {"value"}
    other.update(x.to(torch.bfloat16))
    torch.testing.assert_close(other.value, (before + x.to(torch.bfloat16).float().mean(0)) / 2)
    assert not list(centre.parameters()) and repr(other) == "Centre(3, momentum=0.5)"
    memoryless = losses.Centre(3, momentum=0.0)
    memoryless.update(x)
    torch.testing.assert_close(memoryless.value, x.mean(0))
    other.update(x.clone().requires_grad_())
    assert not other.value.requires_grad


@pytest.mark.parametrize("length", [1e-10, 1e-14, 1e-18])
def test_short_rows_have_finite_gradients(length):
    a, b = x.float() * length, y.float()
    for loss in (losses.info_nce, losses.nt_xent, losses.byol, losses.alignment):
        leaf = a.clone().requires_grad_()
        assert torch.autograd.grad(loss(leaf, b), leaf)[0].isfinite().all()


def test_equal_pairs_have_no_loss_below_zero():
    assert losses.info_nce(10 * x.float(), 10 * x.float(), cosine=False) >= 0


def test_without_other_ranks_the_global_batch_is_this_one():
    torch.testing.assert_close(losses.info_nce(x, y, global_batch=False), losses.info_nce(x, y))
