"""The terms of regularised fine-tuning against their formulas, in steps and across a resume."""

import copy

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import adapt
import losses
from adapt import Stream, Trainer, encoders, heads, inductive
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.engine.tiny import cloud


def network(seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    return encoders.Encoder(body, 4, layers=["0", "2"], head=nn.Linear(4, 3))


def moved(encoder):
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return encoder


def batch(rows, seed):
    data = cloud(rows, seed=seed)
    return Batch(*data.tensors, torch.arange(rows))


def step_of(encoder, term, **options):
    return Step({"few": batch(7, 1), "target": batch(9, 2)}, encoder, layers=term.layers, **options)


def test_l2_sp_is_half_the_squared_way_from_the_start():
    encoder = inductive.strategy(network(), ["2"])
    term, start = inductive.l2_sp(encoder), copy.deepcopy(encoder.state_dict())
    mean = inductive.l2_sp(encoder, per_parameter=True)
    assert term(step_of(encoder, term)) == 0
    moved(encoder)
    way = sum((v.double() - start[k]).square().sum() for k, v in encoder.state_dict().items() if k.startswith("body.2"))
    torch.testing.assert_close(term(step_of(encoder, term)).double(), way / 2)
    torch.testing.assert_close(mean(step_of(encoder, mean)).double(), way / 2 / 24)
    with pytest.raises(ValueError, match="nothing of `encoder` learns"):
        inductive.l2_sp(inductive.strategy(encoder, "probe"))


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_delta_compares_layers_row_by_row_in_any_pass(passes):
    encoder = network()
    attention = {"0": torch.arange(5.0)}
    term = inductive.delta(encoder, on="target", attention=attention)
    before = copy.deepcopy(encoder)
    moved(encoder)
    step = step_of(encoder, term, passes=passes)
    _ = step["few"].features  # another stream first
    x = step["target"].inputs
    with torch.no_grad():
        first = (encoder.body[0](x) - before.body[0](x)).square() * attention["0"]
        last = (encoder(x) - before(x)).square()
    expected = 0.5 * (first.sum(1) + last.sum(1)).mean()
    torch.testing.assert_close(term(step), expected)
    term(step).backward()
    assert encoder.body[0].weight.grad.abs().sum() > 0 and not any(p.requires_grad for p in term.loss.parameters())


def test_layers_of_a_step_are_those_that_a_term_declares():
    encoder = network()
    step = Step({"few": batch(7, 1)}, encoder, layers=["0"])
    assert torch.equal(step["few"].layer("0"), encoder.body[0](step["few"].inputs))
    assert not encoder.body[0]._forward_hooks
    with pytest.raises(ValueError, match="was not declared"):
        step["few"].layer("2")
    with pytest.raises(ValueError, match="layer `9` was asked for"):
        _ = (step := Step({"few": batch(7, 1)}, encoder, layers=["9"]))["few"].features
    idle = encoders.Encoder(nn.Sequential(nn.Linear(6, 4)), 4)
    idle.body.add_module("late", nn.ModuleList([nn.Linear(1, 1)]))
    idle._layers = ("late",)
    idle.body.forward = lambda x: idle.body[0](x)
    with pytest.raises(ValueError, match="one row for each of 7 inputs, got nothing"):
        _ = (step := Step({"few": batch(7, 1)}, idle, layers=["late"]))["few"].features


def test_delta_refuses_layers_that_are_not_there():
    with pytest.raises(ValueError, match="must name layers"):
        inductive.delta(network(), on="target", layers=["7"])
    with pytest.raises(ValueError, match=r"`attention` must weigh channels of `layers`, \['0'\], got \['2'\]"):
        inductive.delta(network(), on="target", layers=["0"], attention={"2": torch.ones(4)})


def test_delta_is_zero_at_the_start_in_half_precision_too():
    encoder = network()
    term = inductive.delta(encoder, on="target")
    assert term(step_of(encoder, term, autocast=torch.autocast("cpu", torch.bfloat16))) == 0


def test_channel_attention_is_the_rise_of_the_loss_without_the_channel():
    encoder, head, data = network(), heads.Classifier(4, 3), cloud(20)
    x, y = data.tensors
    found = inductive.channel_attention(encoder, head, data, ["0"])
    rises = []
    with torch.no_grad():
        whole = F.cross_entropy(head(encoder(x)), y)
        for c in range(5):
            hidden = encoder.body[0](x)
            hidden[:, c] = 0
            rises.append(F.cross_entropy(head(encoder.body[2](hidden.tanh())), y) - whole)
    rises = torch.stack(rises)
    standard = (rises - rises.mean()) / rises.std(correction=0)
    torch.testing.assert_close(found["0"], 5 * (standard / 5).softmax(0), rtol=1e-4, atol=1e-5)
    paper = inductive.channel_attention(encoder, head, data, ["0"], standardize=False, scale=1)
    torch.testing.assert_close(paper["0"], 5 * rises.softmax(0))
    with torch.no_grad():
        encoder.body[2].weight.zero_()  # no channel matters
    torch.testing.assert_close(inductive.channel_attention(encoder, head, data, ["0"])["0"], torch.ones(5))
    assert found.keys() == {"0"} and not encoder.body[0]._forward_hooks


def test_bss_is_the_smallest_squared_singular_value():
    encoder = network()
    term = inductive.bss(on="target")
    step = step_of(encoder, term)
    smallest = numpy.linalg.svd(encoder(step["target"].inputs).detach().double().numpy(), compute_uv=False)[-1]
    assert float(term(step).detach()) == pytest.approx(smallest**2, rel=1e-4)


def test_relationship_and_co_tuning():
    encoder, data, source = network(), cloud(30), cloud(40, seed=9)
    with torch.no_grad():
        p = [F.softmax(encoder.head(encoder(x)) / 2.0, 1) for x in (data.tensors[0],)][0]
    R = inductive.relationship(encoder, data, 3, temperature=2.0)
    torch.testing.assert_close(R, torch.stack([p[data.tensors[1] == c].mean(0) for c in range(3)]))
    T = losses.calibrate_temperature(encoder.head(encoder(source.tensors[0])).detach(), source.tensors[1])
    torch.testing.assert_close(
        inductive.relationship(encoder, data, 3, source=source), inductive.relationship(encoder, data, 3, temperature=T)
    )
    term = inductive.co_tuning(encoder, on="target", relationship=R)
    step = step_of(encoder, term)
    log_p = F.log_softmax(encoder.head(encoder(step["target"].inputs)), 1)
    torch.testing.assert_close(term(step), -(R[step["target"].labels] * log_p).sum(1).mean())
    assert all(a is not b for a, b in zip(term.loss.parameters(), encoder.head.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"must be \(target classes, 3\)"):
        inductive.co_tuning(encoder, on="target", relationship=R[:, :2])
    with pytest.raises(ValueError, match="without its own head"):
        inductive.relationship(encoders.wrap(nn.Flatten(), 6), data, 3)


def test_lwf_keeps_the_old_answers():
    encoder = network()
    term, before, head = inductive.lwf(encoder, on="target"), copy.deepcopy(encoder), encoder.head
    assert float(term(step_of(encoder, term)).detach()) == pytest.approx(0, abs=1e-6)
    moved(encoder)
    step = step_of(encoder, term)
    x = step["target"].inputs
    with torch.no_grad():
        t, z = head(before(x)).double() / 2, head(encoder(x)).double() / 2
    expected = 4 * (t.softmax(1) * (t.log_softmax(1) - z.log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(term(step).double(), expected, rtol=1e-4, atol=1e-7)
    (term.weight * term(step)).backward()
    assert [n for n, p in term.loss.named_parameters() if p.grad is not None] == ["head.weight", "head.bias"]
    # by default the pull of the paper's loss: cross-entropy without a factor, weight 1
    paper = -((t.softmax(1)) * (term.loss.head(encoder(x)) / 2).log_softmax(1)).sum(1).mean()
    (pull,) = torch.autograd.grad(paper, term.loss.head.weight)
    torch.testing.assert_close(term.loss.head.weight.grad, pull.float())


def test_distillation_of_logits_and_of_features():
    torch.manual_seed(2)
    encoder, head, teacher = network(), heads.Classifier(4, 3), nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
    term = inductive.distillation(head, teacher=teacher, on="target", temperature=3.0)
    step = step_of(encoder, term)
    x = step["target"].inputs
    t, z = teacher.eval()(x) / 3, head(encoder(x)) / 3
    expected = 9 * F.kl_div(z.log_softmax(1), t.log_softmax(1), log_target=True, reduction="batchmean")
    torch.testing.assert_close(term(step), expected)
    term = inductive.feature_distillation(encoder, teacher=teacher, on="target", teacher_dim=3)
    step = step_of(encoder, term)
    adapter = term.loss.adapter
    torch.testing.assert_close(term(step), F.mse_loss(adapter(encoder(x)), teacher(x)))
    assert {n for n, p in term.loss.named_parameters() if p.requires_grad} == {"adapter.weight", "adapter.bias"}


def test_supervised_contrastive_takes_both_views():
    encoder = network()
    term = inductive.supervised_contrastive(4, on="target", projection=None)
    x, y = cloud(8).tensors
    step = Step({"target": Batch(x, y, torch.arange(8), (x + 0.1,))}, encoder)
    z = F.normalize(torch.cat([encoder(x), encoder(x + 0.1)]).double()).detach()
    both, total, rows = y.repeat(2), 0.0, 0
    for i in range(16):
        others = [j for j in range(16) if j != i]
        same = [j for j in others if both[j] == both[i]]
        below = torch.logsumexp(z[others] @ z[i] / 0.1, 0)
        total, rows = total - sum(float(z[j] @ z[i] / 0.1 - below) for j in same) / len(same), rows + 1
    assert float(term(step).detach()) == pytest.approx(total / rows, rel=1e-4)


def test_terms_that_learn_from_labels_ask_for_them():
    encoder = network()
    for term in (
        inductive.supervised_contrastive(4, on="target"),
        inductive.co_tuning(encoder, on="target", relationship=torch.ones(3, 3)),
    ):
        with pytest.raises(ValueError, match="learns from the labels of stream `target`"):
            Trainer(encoder, [term], {"target": Stream(cloud(), 12, labels=False)}, progress=False, device="cpu")
    term = inductive.co_tuning(encoder, on="target", relationship=torch.ones(2, 3))
    with pytest.raises(ValueError, match="labels from 0 to 2, and `relationship` is for classes 0 to 1"):
        Trainer(encoder, [term], {"target": Stream(cloud(), 12)}, progress=False, device="cpu")


def every_term(encoder):
    return [
        inductive.l2_sp(encoder),
        inductive.delta(encoder, on="target"),
        inductive.bss(on="target"),
        inductive.co_tuning(encoder, on="target", relationship=torch.full((3, 3), 1 / 3)),
        inductive.lwf(encoder, on="target"),
        inductive.supervised_contrastive(4, on="target", projection=3),
        inductive.feature_distillation(encoder, teacher=encoder, on="target", teacher_dim=4),
    ]


def trainer(folder, seed, **options):
    """`seed` makes the start: a resumed run must take it from the checkpoint, wherever it begins."""
    encoder, head = network(seed), heads.Classifier(4, 3)
    terms = [adapt.supervised(head, on="target"), *every_term(encoder)]
    return Trainer(
        encoder,
        terms,
        {"target": Stream(cloud(), 12)},
        progress=False,
        device="cpu",
        log=folder,
        save_every=3,
        **options,
    )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_resumed_run_compares_with_the_same_start(tmp_path, precision):
    whole = trainer(tmp_path / "whole", 0, precision=precision).fit(steps=6)
    first = trainer(tmp_path / "part", 0, precision=precision)
    first.fit(steps=6)
    again = trainer(tmp_path / "other", 5, precision=precision)
    again.resume(tmp_path / "part" / "checkpoints" / "step-000000003").fit(steps=6)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
