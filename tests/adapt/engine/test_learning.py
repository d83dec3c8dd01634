"""Rows 9 and 10: what learns is what was asked, before the first step and in the first step of each `fit`."""

import copy
import time
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import adapt
from adapt import Phase, Stream, Term, Trainer, encoders, engine, heads, inductive
from adapt.datasets import arrays
from adapt.engine.learning import leaves

ROWS = arrays(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3)


def plain():
    return encoders.wrap(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16)), 16)


def trainer_of(encoder, terms=None, **options):
    if terms is None and "phases" not in options:
        terms = [adapt.supervised(heads.Classifier(encoder, 3), on="rows")]
    return Trainer(encoder, terms, {"rows": Stream(ROWS, 8)}, device="cpu", progress=False, **options)


def unfreeze(encoder):
    encoder.requires_grad_(True)


def freeze(encoder):
    encoder.body[0].requires_grad_(False)


def replace(encoder):
    encoder.body[0] = nn.Linear(8, 16)


def start_frozen():
    return plain().requires_grad_(False)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (start_frozen, unfreeze, "4 parameters learn now, and did not .*`encoder.body.0.weight`"),
        (plain, freeze, "2 parameters do not learn now, and did .*`encoder.body.0.weight`"),
        (plain, lambda encoder: encoders.lora(encoder, 2), "4 parameters learn now.*`encoder.body.0.lora_A`"),
        (plain, lambda encoder: encoders.ia3(encoder), "2 parameters learn now.*`encoder.body.0.ia3_factor`"),
        (plain, replace, "2 parameters .* no longer in the model"),
    ],
)
def test_row_10_a_change_after_the_trainer_was_made(make, change, message, trained):
    encoder = make()
    trainer = trainer_of(encoder)
    if trained:
        trainer.fit(1)
    change(encoder)
    with pytest.raises(ValueError, match=message):
        trainer.fit(2)
    weights = copy.deepcopy(encoder.state_dict())
    trainer_of(encoder).fit(2)  # the remedy
    assert any(not torch.equal(weights[name], w) for name, w in encoder.state_dict().items())


def test_row_12_a_merged_encoder_is_not_trained():
    encoder = plain()
    encoders.lora(encoder, 2)
    trainer = trainer_of(encoder)
    encoders.merge(encoder)
    with pytest.raises(ValueError, match="adapters were merged"):
        trainer.fit(1)
    encoders.unmerge(encoder)
    trainer.fit(1)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda e, h: lambda groups: torch.optim.SGD(h.parameters(), lr=0.1), "leaves out 4 of 6 .*`encoder.body.0"),
        (lambda e, h: lambda groups: torch.optim.SGD(groups[0]["params"][:1], lr=0.1), "leaves out 5 of 6"),
        (
            lambda e, h: lambda groups: torch.optim.SGD([*groups[0]["params"], nn.Parameter(torch.ones(7))], lr=0.1),
            r"holds 1 parameters that this phase does not update: `one of shape \(7,\)`",
        ),
    ],
)
def test_row_10_an_optimizer_that_ignores_its_groups(optimizer, message):
    encoder = plain()
    head = heads.Classifier(encoder, 3)
    terms = [adapt.supervised(head, on="rows")]
    with pytest.raises(ValueError, match=message):
        trainer_of(encoder, terms, optimizer=optimizer(encoder, head)).fit(1)
    trainer_of(encoder, terms, optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1)).fit(1)
    split = [*encoder.parameters()], [*head.parameters()]  # other groups with all parameters are right
    trainer_of(encoder, terms, optimizer=lambda groups: torch.optim.SGD([{"params": p} for p in split], lr=0.1)).fit(1)


def test_row_10_a_scheduler_of_torch():
    trainer = trainer_of(plain())
    torch.optim.lr_scheduler.StepLR(trainer.updates[0].optimizer, 1)
    with pytest.raises(ValueError, match="scheduler of torch .* `Trainer"):
        trainer.fit(1)
    trainer_of(plain(), schedule=engine.cosine()).fit(1)


def hidden_head(encoder, stray):
    """A term that calls a head without the step."""
    return Term("stray", lambda step: stray.loss(stray(step["rows"].features), step["rows"].labels))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("frozen", [False, True])
def test_row_10_a_head_that_no_term_owns(frozen, accumulate):
    encoder = plain().requires_grad_(not frozen)
    known, stray = heads.Classifier(encoder, 3), heads.Classifier(encoder, 3)
    terms = [adapt.supervised(known, on="rows"), hidden_head(encoder, stray)]
    trainer = trainer_of(encoder, terms, accumulate=accumulate)
    weights = copy.deepcopy(trainer.network.state_dict())
    with pytest.raises(ValueError, match=r"term `stray` uses 2 parameters that no term owns.*\(3, 16\).*modules="):
        trainer.fit(1)
    assert all(torch.equal(weights[n], w) for n, w in trainer.network.state_dict().items()), "no step was taken"
    terms[1].modules.append(stray)
    before = copy.deepcopy(stray.state_dict())
    trainer_of(encoder, terms, accumulate=accumulate).fit(1)
    assert any(not torch.equal(before[n], w) for n, w in stray.state_dict().items())


def test_row_10_a_head_that_no_term_calls():
    encoder = plain()
    unused = heads.Classifier(encoder, 3)
    terms = [adapt.supervised(heads.Classifier(encoder, 3), on="rows")]
    extra = Term("extra", lambda step: step["rows"].features.square().mean(), modules=[unused])
    with pytest.warns(UserWarning, match=r"2 of 8 parameters .* reached by no term .*`terms.extra.0.linear.weight`"):
        trainer_of(encoder, [*terms, extra]).fit(1)
    unused.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(encoder, [*terms, extra]).fit(1)


def test_row_10_parameters_of_a_later_phase_are_not_lost():
    encoder = plain()
    first, second = heads.Classifier(encoder, 3), heads.Classifier(encoder, 3)
    phases = [
        Phase([adapt.supervised(first, on="rows", name="a")], [first], name="one"),
        Phase([adapt.supervised(second, on="rows", name="b")], [encoder, second], name="two", repeat=2),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(encoder, phases=phases).fit(2)
    phases[1] = Phase([adapt.supervised(first, on="rows", name="b")], [encoder, second, first], name="two")
    phases[1].terms[0].modules.append(second)
    with pytest.warns(UserWarning, match="2 of 8 parameters"):
        trainer_of(encoder, phases=phases).fit(1)


class Dead(nn.Module):
    """Reads a weight where no source tells it."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16)])

    def forward(self, x):
        return F.linear(F.relu(self.parts[0](x)), self.parts[1].weight)


def test_row_13_dead_adapters_are_named():
    encoder = encoders.wrap(Dead(), 16)
    assert encoders.lora(encoder, 2) == ["body.parts.0", "body.parts.1"]
    with pytest.raises(ValueError, match=r"2 adapters are reached by no term: `encoder.body.parts.1.lora_A`.*only="):
        trainer_of(encoder).fit(1)
    encoder = encoders.wrap(Dead(), 16)
    encoders.lora(encoder, 2, only=["0"])
    trainer_of(encoder).fit(2)
    assert encoder.body.parts[0].lora_B.any()


def body(part):
    return nn.Sequential(nn.Linear(8, 16), part, nn.ReLU(), nn.Linear(16, 16))


ACTIVE = {
    "BatchNorm": lambda: nn.BatchNorm1d(16),
    "BatchNorm without weights": lambda: nn.BatchNorm1d(16, affine=False),
    "dropout": lambda: nn.Dropout(0.5),
}


def moves(encoder):
    """How far features in training and evaluation move in five steps."""
    x = ROWS.labels.new_ones((4, 8), dtype=torch.float32)
    before = encoder.eval()(x)
    trainer_of(encoder).fit(5)
    same = torch.equal(encoder(x), encoder(x))
    return float((encoder.eval()(x) - before).abs().max()) + (0 if same else 1)


@pytest.mark.parametrize("kind", ACTIVE)
def test_row_9_an_encoder_frozen_by_hand_is_not_held(kind):
    torch.manual_seed(0)
    encoder = encoders.wrap(body(ACTIVE[kind]()), 16).requires_grad_(False)
    with pytest.warns(UserWarning, match=r"1 modules in frozen .*`body.1`.*inductive.strategy\(encoder, 'probe'\)"):
        moved = moves(encoder)
    assert moved > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert moves(inductive.strategy(encoder, "probe")) == 0
        held = encoders.wrap(body(ACTIVE[kind]()), 16).requires_grad_(False)
        held.keep_in_eval(["1"])
        assert moves(held) == 0


def test_row_9_a_frozen_part_is_named_and_a_learning_part_is_not():
    module = nn.Sequential(body(nn.BatchNorm1d(16)), body(nn.BatchNorm1d(16))[1:])
    encoder = encoders.wrap(module, 16)
    module[0].requires_grad_(False)
    with pytest.warns(UserWarning, match="1 modules in frozen parts .*: `body.0.1`"):
        trainer_of(encoder).fit(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(inductive.strategy(encoder, 1)).fit(1)


@pytest.mark.parametrize("add", [lambda e: encoders.lora(e, 2), lambda e: encoders.task_lora(e, ["rows"], 2)])
def test_row_9_adapters_without_a_strategy(add):
    encoder = encoders.wrap(body(nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.1))), 16)
    add(encoder)
    with pytest.warns(UserWarning, match=r"1 modules in .*`body.1.0`.*inductive.strategy\(encoder, 'adapters'\)"):
        trainer_of(encoder).fit(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(inductive.strategy(encoder, "adapters")).fit(1)


@pytest.mark.parametrize("kind", ACTIVE)
def test_row_9_evaluation_mode_set_by_the_user(kind):
    encoder = encoders.wrap(body(ACTIVE[kind]()), 16)
    encoder.body[1].eval()
    with pytest.warns(UserWarning, match=r"1 modules .* were in evaluation mode and train .*`body.1`.*keep_in_eval"):
        trainer_of(encoder).fit(1)
    encoder.keep_in_eval(["1"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(encoder).fit(1)
        assert not encoder.body[1].training
        whole = encoders.wrap(body(ACTIVE[kind]()).eval(), 16)  # as a loader returns a module
        trainer_of(whole).fit(1)
        whole.eval()  # as after an evaluation
        trainer_of(whole).fit(1)
        assert whole.body[1].training


class SameKind(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x.to(self.body[0].weight.dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_row_19_parameters_in_half_precision_are_named(dtype):
    encoder = encoders.wrap(SameKind(plain().body.to(dtype)), 16)
    with pytest.warns(UserWarning, match="4 parameters that learn are in half precision.*`encoder.body.body.0.weight`"):
        trainer_of(encoder).fit(1)
    encoder.float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(encoder).fit(1)


def test_the_look_costs_little():
    """Under 50 ms for a network of 200 layers, at the door and in the first step; nothing afterwards."""
    encoder = encoders.wrap(nn.Sequential(*[nn.Linear(8, 8) for _ in range(200)]), 8)
    head = heads.Classifier(encoder, 3)
    trainer = trainer_of(encoder, [adapt.supervised(head, on="rows")])
    x, y = torch.randn(8, 8), torch.arange(8) % 3
    loss = head.loss(head(encoder(x)), y)
    loss.backward()
    assert len(list(leaves(loss))) == 402
    times = []
    for _ in range(5):
        begin = time.process_time()
        trainer.learning.start()
        trainer.learning.look(trainer.updates[0], [{trainer.terms[0]: loss}])
        times.append(time.process_time() - begin)
    assert min(times) < 0.05
    assert not trainer.learning.unseen
