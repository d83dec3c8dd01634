"""Methods of several parts compute what their papers write: each term against its formula, written out."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import losses
from adapt import domain, encoders, heads
from adapt.engine import Trainer
from adapt.streams import Stream
from tests.adapt.domain.test_methods import parts_of, step


def seen(name):
    """The terms of a method by name, what they give, and the features and logits they give it for."""
    encoder, terms = parts_of(name)
    made = step(encoder)
    values = {term.name: term(made).detach() for term in terms}
    f = {view: encoder(x).detach() for view, x in inputs(made).items()}
    return {term.name: term for term in terms}, values, f, encoder


def inputs(made):
    return {
        "source": made["source"].inputs,
        "target": made["target"].inputs,
        "second": made["target"].views[1].inputs,
    }


def test_mcd_pulls_the_heads_apart_and_the_features_together():
    terms, values, f, _ = seen("mcd")
    first, second = terms["mcd"].modules
    gap = (first(f["target"]).softmax(1) - second(f["target"]).softmax(1)).abs().mean()
    torch.testing.assert_close(values["mcd"], gap.detach())
    torch.testing.assert_close(values["mcd_apart"], -gap.detach())


def test_adda_tells_source_by_the_fixed_encoder_and_hides_the_target():
    terms, values, f, encoder = seen("adda")
    adversary = terms["adda_discriminator"].loss
    s, t = adversary.discriminator(f["source"]), adversary.discriminator(f["target"])
    told = 0.5 * (-s.sigmoid().log().mean() - (1 - t.sigmoid()).log().mean())
    torch.testing.assert_close(values["adda_discriminator"], told.detach())
    torch.testing.assert_close(values["adda"], -t.sigmoid().log().mean().detach())
    with torch.no_grad():
        encoder.body[0].weight.mul_(2)  # the target's encoder moves, the source's does not
    made = step(encoder)
    moved = adversary.discriminator(encoder(made["target"].inputs))
    told = 0.5 * (-s.sigmoid().log().mean() - (1 - moved.sigmoid()).log().mean())
    torch.testing.assert_close(adversary(made).detach(), told.detach())


def test_fixmatch_labels_the_second_view_by_the_first():
    terms, values, f, _ = seen("fixmatch")
    (head,) = terms["fixmatch"].modules
    confidence, label = head(f["target"]).softmax(1).max(1)
    rows = F.cross_entropy(head(f["second"]), label, reduction="none") * (confidence >= 0.4)
    assert 0 < int((confidence >= 0.4).sum())
    torch.testing.assert_close(values["fixmatch"], rows.mean().detach())


def test_wdgrl_shrinks_what_its_critic_enlarges():
    terms, values, f, _ = seen("wdgrl")
    critic = terms["wdgrl"].loss.critic
    distance = (critic(f["source"]).mean() - critic(f["target"]).mean()).detach()
    torch.testing.assert_close(values["wdgrl"], distance)
    torch.testing.assert_close(values["wdgrl_critic"], -distance)


def test_cdan_sees_the_product_of_each_rows_own_features_and_probabilities():
    terms, values, f, _ = seen("cdan")
    loss = terms["cdan"].loss
    s, t = (
        loss.discriminator(torch.einsum("nc,nd->ncd", loss.head(f[d]).softmax(1), f[d]).flatten(1))
        for d in ("source", "target")
    )
    expected = 0.5 * (F.softplus(-s).mean() + F.softplus(t).mean())
    torch.testing.assert_close(values["cdan"], expected.detach())


def test_jan_joins_features_and_class_probabilities():
    terms, values, f, _ = seen("jan")
    (head,) = terms["jan"].modules
    layers = [[f[d], head(f[d]).softmax(1)] for d in ("source", "target")]
    torch.testing.assert_close(values["jan"], losses.joint_mmd(*layers).detach())


def test_a_mean_teacher_is_asked_about_the_first_view_and_taught_is_the_second():
    terms, values, f, _ = seen("mean_teacher")
    head = terms["mean_teacher"].loss.head
    gap = head(f["second"]).softmax(1) - head(f["target"]).softmax(1)  # the average is still the network itself
    torch.testing.assert_close(
        values["mean_teacher"], losses.consistency(head(f["second"]), head(f["target"])).detach()
    )
    assert gap.abs().max() > 0


def test_a_mean_teacher_is_silent_where_it_is_not_sure():
    terms, _, f, encoder = seen("mean_teacher")
    term = terms["mean_teacher"]
    head = term.loss.head
    taught = head(f["target"]).softmax(1)
    term.loss.threshold = taught.amax(1).median().item()
    sure = taught.amax(1) >= term.loss.threshold
    assert 0 < sure.sum() < len(sure)
    rows = (head(f["second"]).softmax(1) - taught).square().mean(1) * sure
    torch.testing.assert_close(term(step(encoder)), rows.mean())
    term.loss.threshold = 1.1
    gradient = torch.autograd.grad(term(step(encoder)), head.linear.weight)[0]
    assert (gradient == 0).all()


def test_a_mean_teacher_that_goes_back_one_step_moves_again(tmp_path):
    encoder = encoders.wrap(nn.Linear(3, 4), 4)
    term = domain.mean_teacher(heads.Classifier(4, 2), encoder=encoder, weight=1.0, threshold=0.0, momentum=0.5)
    rows = TensorDataset(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)))
    stream = Stream(rows, 4, labels=False)
    made = Trainer(encoder, [term], {"target": stream}, progress=False, device="cpu")
    path = made.fit(3).save(tmp_path / "three")
    once = deepcopy(made.fit(4).network.state_dict())
    again = made.resume(path).fit(4).network.state_dict()
    assert all(torch.equal(once[name], again[name]) for name in once if not name.endswith("extra_state"))
