"""What the docstrings claim: relations between the losses, special values, invariances."""

import math

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(8, 3, generator=g, dtype=torch.float64)
y = torch.randn(8, 3, generator=g, dtype=torch.float64)


def test_nt_xent_is_supervised_contrastive_with_a_class_for_each_row():
    both, pairs = torch.cat([x, y]), torch.arange(8).repeat(2)
    expected = losses.supervised_contrastive(both, pairs, temperature=0.5)
    torch.testing.assert_close(losses.nt_xent(x, y), expected)


def test_one_row_has_nothing_to_be_confused_with():
    assert losses.info_nce(x[:1], y[:1]) == 0 and losses.nt_xent(x[:1], y[:1]) == 0


def test_a_temperature_may_be_learned():
    logarithm = torch.tensor(math.log(0.3), dtype=torch.float64, requires_grad=True)
    value = losses.info_nce(x, y, temperature=logarithm.exp(), symmetric=True)
    torch.testing.assert_close(value, losses.info_nce(x, y, temperature=0.3, symmetric=True))
    assert torch.autograd.gradcheck(lambda t: losses.info_nce(x, y, temperature=t.exp(), symmetric=True), logarithm)


def test_symmetric_does_not_care_which_side_asks():
    both = [losses.info_nce(a, b, symmetric=True) for a, b in ((x, y), (y, x))]
    torch.testing.assert_close(*both)
    torch.testing.assert_close(both[0], (losses.info_nce(x, y) + losses.info_nce(y, x)) / 2)


def test_a_bank_may_have_another_precision():
    torch.testing.assert_close(losses.info_nce(x, y, y.float()), losses.info_nce(x, y, y.float().double()))


def test_simsiam_and_alignment_are_byol():
    simsiam = -F.cosine_similarity(x, y).mean()
    torch.testing.assert_close(losses.byol(x, y) / 2 - 1, simsiam)
    torch.testing.assert_close(losses.byol(x, y), losses.alignment(x, y))


def test_targets_and_teachers_are_held():
    target = y.clone().requires_grad_()
    centre = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    student = x.clone().requires_grad_()
    (losses.byol(student, target) + losses.self_distillation(student, target, centre)).backward()
    assert target.grad is None and centre.grad is None and student.grad.abs().max() > 0


def test_what_is_held_is_also_taken_to_float32():
    a, b, c = x.to(torch.bfloat16), (y / 8).to(torch.bfloat16), torch.tensor([0.05, -0.02, 0.0]).to(torch.bfloat16)
    for loss in (losses.byol, lambda s, t: losses.self_distillation(s, t, c), lambda s, t: losses.byol(s.float(), t)):
        torch.testing.assert_close(loss(a, b).double(), loss(a.double(), b.double()), rtol=1e-5, atol=1e-6)


def test_a_mask_will_do_for_weights():
    mask = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0]).bool()
    for loss in (losses.byol, losses.alignment):
        torch.testing.assert_close(loss(x, y, weights=mask), loss(x[mask], y[mask]))
    zero = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(
        losses.self_distillation(x, y, zero, weights=mask), losses.self_distillation(x[mask], y[mask], zero)
    )


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_alignment_of_equal_rows_has_no_gradient(power):
    a = x.clone().requires_grad_()
    value = losses.alignment(a, x, power=power)
    value.backward()
    assert value == 0 and (a.grad == 0).all()


def test_opposite_rows_are_two_apart_and_equal_rows_are_not_uniform():
    torch.testing.assert_close(losses.alignment(x, -3 * x, power=3.0), torch.tensor(8.0).double())
    assert losses.uniformity(x[:1].repeat(5, 1)).abs() < 1e-12
    torch.testing.assert_close(losses.uniformity(torch.tensor([[1.0], [-2.0]]), scale=50.0), torch.tensor(-200.0))


def test_rotations_do_not_matter_to_cosines_and_distances():
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=g, dtype=torch.float64)).Q
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    for loss in (
        losses.info_nce,
        losses.nt_xent,
        losses.alignment,
        lambda a, b: losses.uniformity(a),
        lambda a, b: losses.supervised_contrastive(a, labels),
        lambda a, b: losses.neighbourhood_components(a, labels),
        lambda a, b: losses.triplet(a, labels),
        lambda a, b: losses.semantic_alignment(a, b, labels, labels),
    ):
        torch.testing.assert_close(loss(x @ rotation, y @ rotation), loss(x, y))


def test_triplets_by_hand():
    z = torch.tensor([[0.0], [1.0], [1.5], [4.0]]).double()
    labels = torch.tensor([0, 0, 1, 1])
    # anchors 0, 1, 2, 3: positives at 1, 1, 2.5, 2.5; negatives at (1.5, 4), (0.5, 3), (1.5, 0.5), (4, 3)
    m = 0.6
    every = [0.1, 0, 1.1, 0, 1.6, 2.6, 0, 0.1]
    assert losses.triplet(z, labels, margin=m, average="all").item() == pytest.approx(sum(every) / 8)
    assert losses.triplet(z, labels, margin=m).item() == pytest.approx(sum(every) / 5)
    hard = [0.1, 1.1, 2.6, 0.1]
    assert losses.triplet(z, labels, margin=m, mining="hard").item() == pytest.approx(sum(hard) / 4)
    assert losses.triplet(z, labels, margin=m, mining="semihard").item() == pytest.approx(0.1)


def test_equal_rows_give_the_margin_and_no_gradient():
    z, labels = torch.ones(6, 3, requires_grad=True), torch.tensor([0, 0, 0, 1, 1, 1])
    for mining in ("all", "hard"):
        value = losses.triplet(z, labels, mining=mining)
        value.backward()
        torch.testing.assert_close(value.detach(), torch.tensor(0.2))
        assert (z.grad == 0).all()
    assert losses.triplet(z, labels, mining="semihard") == 0  # no negative is further away than a positive


def test_one_class_alone_has_no_triplet():
    z = x.clone().requires_grad_()
    for mining in ("all", "hard", "semihard"):
        value = losses.triplet(z, torch.zeros(8, dtype=torch.long), mining=mining)
        value.backward()
        assert value == 0 and (z.grad == 0).all()
    value = losses.triplet(z, torch.zeros(8, dtype=torch.long), margin=None, mining="hard")
    value.backward()
    assert value == 0 and (z.grad == 0).all()


def test_semantic_alignment_pulls_one_class_and_pushes_two_up_to_the_margin():
    a, b = torch.tensor([[0.0]]), torch.tensor([[0.75], [5.0]])
    same, other = torch.tensor([1]), torch.tensor([0, 0])
    assert losses.semantic_alignment(a, b, same, other).item() == pytest.approx(0.5 * 0.25**2 / 2)
    assert losses.semantic_alignment(a, b, other[:1], other).item() == pytest.approx(0.5 * (0.75**2 + 25) / 2)
    point = torch.zeros(1, 2, requires_grad=True)
    value = losses.semantic_alignment(point, torch.zeros(1, 2), same, other[:1])
    value.backward()
    assert value == 0.5 and (point.grad == 0).all()


def test_barlow_twins_of_uncorrelated_features_is_zero():
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double()
    assert losses.barlow_twins(z, 5 * z + 2, epsilon=0) < 1e-25
    torch.testing.assert_close(losses.barlow_twins(z, -z, epsilon=0), torch.tensor(8.0).double())


def test_barlow_twins_without_epsilon_is_free_of_scale_and_safe_at_zero_variance():
    torch.testing.assert_close(losses.barlow_twins(1e-6 * x, y, epsilon=0), losses.barlow_twins(x, y, epsilon=0))
    flat = torch.cat([x[:, :2], torch.ones(8, 1).double()], 1).requires_grad_()
    value = losses.barlow_twins(flat, y, epsilon=0)
    value.backward()
    assert value > 1 and flat.grad.isfinite().all() and (flat.grad[:, 2] == 0).all()


def test_vicreg_lets_a_wide_feature_be_and_sees_no_shift():
    z = torch.tensor([[2.0, 2], [2, -2], [-2, 2], [-2, -2]]).double()  # wide and uncorrelated
    assert losses.vicreg(z, z) < 1e-25
    options = {"invariance": 0.0, "variance": 7.0, "covariance": 3.0}
    torch.testing.assert_close(losses.vicreg(x + 5, y - 2, **options), losses.vicreg(x, y, **options))


def test_the_teacher_is_sharper_and_the_centre_is_taken_off():
    s, t, c = x, 0.1 * y, torch.tensor([0.05, -0.02, 0.0], dtype=torch.float64)
    moved = losses.self_distillation(s, t + 0.3, c + 0.3)
    torch.testing.assert_close(losses.self_distillation(s, t, c), moved)
    sharp = losses.self_distillation(s, t, t.mean(0), teacher_temperature=1e-4)
    hard = F.cross_entropy(s / 0.1, (t - t.mean(0)).argmax(1))
    torch.testing.assert_close(sharp, hard)


def test_which_triplets_count():
    z, two_classes = torch.tensor([[0.0], [1.0], [1.5], [4.0]]).double(), torch.tensor([0, 0, 1, 1])
    # anchor 3 has a negative at 4 = 2.5 + 1.5: at the margin, not inside
    semihard = losses.triplet(z, two_classes, margin=1.5, mining="semihard", average="all")
    assert semihard.item() == pytest.approx(1.0)
    # anchor 2 is alone in its class: no anchor for the hardest triplet, and a negative of the others
    hard = losses.triplet(z[:3], two_classes[:3], margin=0.6, mining="hard", average="all")
    assert hard.item() == pytest.approx((0.1 + 1.1) / 2)


def test_equal_rows_have_no_correlation_however_the_mean_is_rounded():
    for seed in range(20):
        row = torch.randn(1, 16, generator=torch.Generator().manual_seed(seed)).repeat(33, 1).requires_grad_()
        value = losses.barlow_twins(row, row.detach(), epsilon=0)
        value.backward()
        assert value == 16 and (row.grad == 0).all(), seed
