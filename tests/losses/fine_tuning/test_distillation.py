"""Distillation of predictions, features, attention and relations beyond the battery."""

import pytest
import torch
import torch.nn.functional as F

import losses
from tests.losses.fine_tuning import references


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


EVERY = [
    pytest.param(losses.distillation, (5, 4), id="distillation"),
    pytest.param(losses.delta, (5, 4), id="delta"),
    pytest.param(losses.feature_distillation, (5, 4), id="mse"),
    pytest.param(lambda s, t: losses.feature_distillation(s, t, kind="cosine"), (5, 4), id="cosine"),
    pytest.param(losses.attention_transfer, (5, 4, 3), id="attention"),
    pytest.param(losses.relational_distillation, (5, 4), id="distance"),
    pytest.param(lambda s, t: losses.relational_distillation(s, t, kind="angle"), (5, 4), id="angle"),
]


@pytest.mark.parametrize(("loss", "shape"), EVERY)
def test_the_teacher_carries_no_gradient(loss, shape):
    student, teacher = drawn(*shape).requires_grad_(), drawn(*shape, seed=1).requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


@pytest.mark.parametrize(("loss", "shape"), EVERY)
def test_a_teacher_in_half_precision_is_taken_as_it_is(loss, shape):
    student, teacher = drawn(*shape).bfloat16(), (3 * drawn(*shape, seed=1)).bfloat16()
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), loss(student.double(), teacher.double()), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("loss", "shape"), EVERY)
def test_nothing_is_lost_where_the_student_is_the_teacher(loss, shape):
    student = drawn(*shape).requires_grad_()
    value = loss(student, student.detach().clone())
    value.backward()
    assert value.abs() < 1e-14 and student.grad.abs().max() < 1e-14
    assert loss(student, drawn(*shape, seed=1)) > 1e-3


@pytest.mark.parametrize(("loss", "shape"), EVERY[2:])
def test_zero_features_have_a_finite_value_and_gradient(loss, shape):
    for student, teacher in [(torch.zeros(shape), torch.ones(shape)), (torch.zeros(shape), torch.zeros(shape))]:
        student.requires_grad_()
        value = loss(student, teacher)
        value.backward()
        assert value.isfinite() and student.grad.isfinite().all()
    one_row = drawn(*shape)
    one_row[0] = 0
    one_row[1] = one_row[2]
    one_row.requires_grad_()
    loss(one_row, drawn(*shape, seed=1)).backward()
    assert one_row.grad.isfinite().all()


def test_a_zero_vector_has_cosine_zero_and_no_gradient():
    student = torch.zeros(1, 3, requires_grad=True)
    value = losses.feature_distillation(student, torch.ones(1, 3), kind="cosine")
    value.backward()
    assert value == 1 and (student.grad == 0).all()


def test_the_temperature_keeps_the_size_of_the_gradient():
    z, t = 1e-3 * drawn(6, 5), 1e-3 * drawn(6, 5, seed=1)  # small logits: the limit that the paper derives
    sizes = []
    for temperature in (1.0, 10.0):
        z.requires_grad_()
        (g,) = torch.autograd.grad(losses.distillation(z, t, temperature=temperature), z)
        sizes.append(g.norm())
    torch.testing.assert_close(sizes[0], sizes[1], rtol=1e-2, atol=0)


def test_learning_without_forgetting_has_this_gradient_divided_by_the_square_of_the_temperature():
    z, t = drawn(6, 5).requires_grad_(), drawn(6, 5, seed=1)
    lwf = -((t / 2).softmax(1) * (z / 2).log_softmax(1)).sum(1).mean()  # the paper's form
    (expected,) = torch.autograd.grad(lwf, z)
    (found,) = torch.autograd.grad(losses.distillation(z, t, temperature=2.0), z)
    torch.testing.assert_close(found, 4 * expected)


def test_saturated_logits():
    z = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    value = losses.distillation(z, torch.tensor([[0.0, 1e4], [0.0, 1e4]]), temperature=1.0)
    value.backward()
    assert value == 5e3 and z.grad.isfinite().all()


def test_attention_sees_where_and_not_how_much():
    student, teacher = drawn(4, 3, 2, 2), drawn(4, 5, 2, 2, seed=1)
    value = losses.attention_transfer(student, teacher)
    torch.testing.assert_close(losses.attention_transfer(-7 * student, 0.1 * teacher), value)
    torch.testing.assert_close(losses.attention_transfer(student[:, [2, 0, 1]], teacher), value)
    assert (losses.attention_transfer(student.flip(3), teacher) - value).abs() > 1e-3
    torch.testing.assert_close(losses.attention_transfer(student.flatten(2), teacher.flatten(2)), value)


def test_relations_are_free_of_place_scale_and_turn():
    student, teacher = drawn(6, 3), drawn(6, 4, seed=1)
    Q = torch.linalg.qr(drawn(3, 3, seed=2)).Q
    for kind in ("distance", "angle"):
        value = losses.relational_distillation(student, teacher, kind=kind)
        moved = losses.relational_distillation(5 * student @ Q + 3, 0.2 * teacher - 1, kind=kind)
        torch.testing.assert_close(moved, value)
        assert (losses.relational_distillation(student.roll(1, 0), teacher, kind=kind) - value).abs() > 1e-3


@pytest.mark.parametrize("kind", ["distance", "angle"])
def test_equal_rows_have_no_relations(kind):
    x = torch.ones(4, 3, requires_grad=True)
    value = losses.relational_distillation(x, torch.eye(4), kind=kind)
    value.backward()
    assert value.isfinite() and (x.grad == 0).all()
    assert losses.relational_distillation(x, 2 * x, kind=kind) == 0


maps = torch.ones(2, 3, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.distillation(maps, maps[:1]), "`student_logits` and `teacher_logits` must have the same shape"),
        (lambda: losses.distillation(maps, maps, temperature=0), "`temperature` must be a positive number, got 0"),
        (lambda: losses.distillation(maps[0, 0, 0], maps[0, 0, 0]), "`student_logits` must be"),
        (lambda: losses.delta(maps[0, 0, 0], maps[0, 0, 0]), r"`features` must be \(n, c\) features or"),
        (lambda: losses.feature_distillation(maps[:0], maps[:0]), r"`student` must be \(n, c\) features .* n >= 1"),
        (lambda: losses.delta(maps, maps[:, :2]), "`features` and `start_features` must have the same shape"),
        (lambda: losses.delta(maps, maps, channel_weights=torch.ones(2)), r"each of the 3 channels, got \(2,\)"),
        (lambda: losses.delta(maps, maps, weights=torch.ones(2)), "one number for each row"),
        (lambda: losses.feature_distillation(maps, maps[:, :2]), "`student` and `teacher` must have the same shape"),
        (lambda: losses.feature_distillation(maps, maps, kind="l1"), '`kind` must be "mse" or "cosine", got \'l1\''),
        (lambda: losses.attention_transfer(maps, maps[..., :1]), "the same rows and places"),
        (lambda: losses.attention_transfer(maps[0, 0], maps), r"`student` must be \(n, c, ...\)"),
        (lambda: losses.attention_transfer(maps, maps[:0]), r"`teacher` must be \(n, c, ...\) .* n >= 1"),
        (lambda: losses.relational_distillation(maps, maps), r"`student` must be \(n, d\)"),
        (lambda: losses.relational_distillation(torch.ones(3, 2), maps), r"`teacher` must be \(n, d\)"),
        (lambda: losses.relational_distillation(torch.ones(3, 2), torch.ones(4, 2)), "the same rows, got 3 and 4"),
        (
            lambda: losses.relational_distillation(torch.ones(2, 2), torch.ones(2, 2), kind="angle"),
            "at least 3 rows, got 2",
        ),
        (lambda: losses.relational_distillation(torch.ones(3, 2), torch.ones(3, 2), kind="x"), "`kind` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_mask_leaves_rows_and_places_out():
    s, t = drawn(4, 3, 2), drawn(4, 3, 2, seed=1)
    mask = torch.tensor([[1, 0], [1, 1], [0, 0], [1, 0]]).bool()
    kept = lambda x: x.movedim(1, -1)[mask]  # noqa: E731
    for loss in (losses.distillation, losses.delta, losses.feature_distillation):
        torch.testing.assert_close(loss(s, t, weights=mask), loss(kept(s), kept(t)))
    torch.testing.assert_close(
        losses.distillation(s, t),
        F.kl_div((s / 4).log_softmax(1), (t / 4).log_softmax(1), log_target=True, reduction="none").sum(1).mean() * 16,
    )


def test_rows_that_coincide_on_one_side_only_make_no_angle():
    g = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 3, generator=g, dtype=torch.float64)
    teacher[1] = teacher[0]
    for s, t in ((student, teacher), (teacher, student)):
        value = losses.relational_distillation(s, t, kind="angle")
        expected = references.relational_distillation(s.numpy(), t.numpy(), kind="angle")
        torch.testing.assert_close(value.item(), float(expected))
