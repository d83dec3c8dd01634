"""Every head takes an encoder or the size of its features, and checks its options when it is made."""

import pytest
import torch
from torch import nn

from adapt import heads
from adapt.encoders import wrap

MAKERS = {
    "Classifier": lambda size, **options: heads.Classifier(size, 3, **options),
    "Regressor": lambda size, **options: heads.Regressor(size, 2, **options),
    "MultiLabel": lambda size, **options: heads.MultiLabel(size, 3, **options),
    "OneVsAll": lambda size, **options: heads.OneVsAll(size, 3, **options),
    "TokenClassifier": lambda size, **options: heads.TokenClassifier(size, 3, **options),
    "Discriminator": heads.Discriminator,
    "Bottleneck": heads.Bottleneck,
    "Attention": heads.Attention,
    "Experts": heads.Experts,
}


@pytest.mark.parametrize("name", MAKERS)
def test_an_encoder_or_its_size(name):
    encoder, made = wrap(nn.Linear(5, 8), 8), []
    for size in (encoder, 8):
        torch.manual_seed(0)
        made.append(MAKERS[name](size))
    (first, second), places = made, (4,) if name == "TokenClassifier" else ()
    assert first.dim == second.dim == 8 and type(first.dim) is int
    assert first.state_dict().keys() == second.state_dict().keys()
    z = torch.randn(2, *places, 8)
    assert torch.equal(first(z), second(z))
    with pytest.raises(TypeError, match="`encoder` must be a feature size or an encoder with `dim`, got a Linear"):
        MAKERS[name](nn.Linear(5, 8))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        MAKERS[name](0)


@pytest.mark.parametrize("name", ["Classifier", "Regressor", "MultiLabel", "OneVsAll", "TokenClassifier"])
def test_dropout_is_a_share(name):
    with pytest.raises(ValueError, match=r"`dropout` must be in \[0, 1\), got 1.5"):
        MAKERS[name](8, dropout=1.5)


@pytest.mark.parametrize("name", ["Discriminator", "Bottleneck", "Attention", "Experts"])
def test_hidden_units_are_counted(name):
    for hidden in (0, 2.5):
        with pytest.raises(ValueError, match=f"`hidden` must be a whole number of at least 1, got {hidden}"):
            MAKERS[name](8, hidden=hidden)


@pytest.mark.parametrize("make", [heads.Classifier, heads.OneVsAll, heads.TokenClassifier, heads.MultiLabel])
def test_classes_are_a_number_or_names(make):
    for classes in ("cat", True, 2.0, None):
        with pytest.raises(TypeError, match="must be a whole number or a list of names"):
            make(8, classes)
    assert make(8, ("cat", "dog")).names[:2] == ["cat", "dog"] and make(8, 2).names[:2] == ["0", "1"]


def test_reprs_show_what_the_layers_inside_do_not():
    assert "missing=-100" in repr(heads.TokenClassifier(8, 3, missing=-100))
    assert "labels=3" in repr(heads.MultiLabel(8, 3))
    assert "loss=mse_loss, measure=the loss, score=the mean loss" in repr(
        heads.wrap(nn.Linear(8, 1), loss=nn.functional.mse_loss)
    )
