"""Layers between features and heads."""

import pytest
import torch

from adapt import Stream, Trainer, heads, multitask
from tests.adapt.engine.tiny import weights
from tests.adapt.multitask.tiny import labels, network


def test_a_bottleneck_is_the_identity_at_first():
    z = torch.randn(5, 6)
    assert torch.equal(heads.Bottleneck(6)(z), z)


def test_gated_experts_by_hand():
    torch.manual_seed(0)
    shared = heads.Experts(4, 2)
    gated = heads.Gated(shared, own=1)
    z = torch.randn(5, 4)
    experts = [*shared.networks, *gated.own.networks]
    share = gated.gate(z).softmax(1)
    expected = sum(share[:, k : k + 1] * e(z) for k, e in enumerate(experts))
    torch.testing.assert_close(gated(z), expected)
    with pytest.raises(ValueError, match="`count`"):
        heads.Experts(4, 0)


def test_a_mask_keeps_signs():
    z = torch.randn(5, 6)
    out = heads.Attention(6)(z)
    assert (out * z >= 0).all() and (out.abs() <= z.abs()).all()


@pytest.mark.parametrize("before", ["bottleneck", "attention", "experts"])
def test_they_train_as_heads(before, tmp_path):
    def make():
        torch.manual_seed(0)
        shared = heads.Experts(6, 2, hidden=4)
        layer = {
            "bottleneck": lambda: heads.Bottleneck(6),
            "attention": lambda: heads.Attention(6),
            "experts": lambda: heads.Gated(shared, own=1),
        }[before]
        tops = [heads.WithTaskLayers(layer(), head) for head in (heads.Regressor(6), heads.Classifier(6, 3))]
        terms = [multitask.task(f"t{i}", top, "rows", label=i) for i, top in enumerate(tops)]
        made = Trainer(
            network(), terms, {"rows": Stream(labels(), 12)}, balance=multitask.imtl_g(), progress=False, device="cpu"
        )
        return made, tops

    made, tops = make()
    made.fit(4)
    again, _ = make()
    again.fit(2)
    resumed, _ = make()
    resumed.resume(again.save(tmp_path / "half"))
    resumed.planned = 4
    assert torch.equal(weights(resumed.fit(4)), weights(made))
    score = made.evaluate(tops[1], multitask.rows_with_label(labels(seed=1), 1, classes=True))
    assert score.metric == "accuracy" and tops[1].names == ["0", "1", "2"] and not hasattr(tops[0], "classes")
