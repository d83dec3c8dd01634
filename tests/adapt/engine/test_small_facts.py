"""Facts of the engine that no other test tells apart: each test fails with a small change of the code."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, Phase, Stream, Term, Trainer, encoders, heads, multitask, supervised
from adapt.engine import checkpoint, evaluate
from adapt.engine.callbacks import KeepBest
from adapt.engine.card import _data
from adapt.engine.configuration import by_value
from adapt.engine.fingerprint import fingerprint
from adapt.engine.monitor import as_numbers
from adapt.engine.passes import Pass
from adapt.engine.programs import ProgramHead
from adapt.engine.recipes import NoRecipe
from adapt.engine.step import Step
from adapt.engine.tasks.conflicts import Conflicts
from adapt.engine.tasks.parameter_gramian import ParameterGramian, linear
from tests.adapt.engine.tiny import cloud, network, streams, trainer


@pytest.mark.parametrize("bias", ["learns", "frozen", None])
@pytest.mark.parametrize("weight", [True, False], ids=["weight learns", "weight frozen"])
def test_the_gramian_of_a_linear_layer_counts_what_learns(weight, bias):
    torch.manual_seed(0)
    layer = nn.Linear(3, 4, bias=bias is not None).double()
    layer.weight.requires_grad_(weight)
    if bias == "frozen":
        layer.bias.requires_grad_(False)
    A, E = torch.randn(5, 3).double(), torch.randn(2, 5, 4).double()
    parts = [torch.stack([(e.T @ A).flatten() for e in E])] if weight else []
    parts += [E.sum(1)] if bias == "learns" else []
    J = torch.cat([torch.zeros(2, 1).double(), *parts], 1)
    torch.testing.assert_close(linear(layer, A, E), J @ J.T)


def test_the_gramian_of_a_network_with_a_layer_without_bias():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2)).double()
    gram = ParameterGramian(net)
    z = net(torch.randn(5, 3).double())
    D = [torch.randn_like(z) for _ in range(2)]
    J = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(z, [*net.parameters()], d, retain_graph=True)]) for d in D]
    )
    torch.testing.assert_close(gram([z], [[d] for d in D]), J @ J.T)


@pytest.mark.parametrize("tasks", [8, 9])
def test_pairs_of_at_most_eight_tasks_have_a_curve(tasks):
    found = Conflicts([str(t) for t in range(tasks)]).watch(torch.ones(tasks), torch.eye(tasks))
    assert sum(name.startswith("task_cosine/") for name in found) == (28 if tasks == 8 else 0)


def test_the_verdict_compares_mean_lengths():
    """The first task has a gradient in each step, the second in half of the steps, of the same length."""
    conflicts = Conflicts(["always", "often"])
    for step in range(20):
        conflicts.watch(torch.tensor([1.0, 1.0 if step % 2 else torch.nan]), torch.eye(2))
    assert "differ in length by a factor of 1 " in conflicts.verdict() and "nothing to balance" in conflicts.verdict()


def test_the_figure_of_tasks_stands_at_its_step(tmp_path):
    encoder, head = network()
    terms = [multitask.task("one", head, "source"), multitask.task("two", heads.Classifier(8, 3), "source")]
    data = {"source": Stream(cloud(), 12)}
    Trainer(encoder, terms, data, log=tmp_path, log_every=1, progress=False, device="cpu").fit(3)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0, "tensors": 0}).Reload()
    assert [e.step for e in events.Images("tasks/affinity")] == [3]
    assert [e.step for e in events.Tensors("tasks/verdict/text_summary")] == [3]


def test_a_balance_without_features_leaves_other_parameters_alone():
    """Tasks that read no features, in a phase that updates one of two heads: the other head gets no gradient."""
    torch.manual_seed(0)
    encoder, learns, rests = encoders.Encoder(nn.Linear(6, 8), 8), nn.Linear(6, 1), nn.Linear(6, 1)
    both = lambda s: (learns(s["rows"].inputs) + rests(s["rows"].inputs)).square().mean()  # noqa: E731
    terms = [Term(name, both, task=True, modules=[learns, rests]) for name in ("one", "two")]
    other = Term(
        "other", lambda s: rests(s["rows"].inputs).square().mean() + s["rows"].features.mean(), modules=[rests, encoder]
    )
    phases = [Phase(terms, update=[learns], name="tasks"), Phase([other], update=[rests, encoder], name="other")]
    balance = multitask.equal()
    made = Trainer(encoder, streams={"rows": Stream(cloud(), 12)}, phases=phases, balance=balance, progress=False,
                   device="cpu", optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1))  # fmt: skip
    made.fit(1)
    assert learns.weight.grad is not None
    update = made.updates[0]
    for p in made.network.parameters():
        p.grad = None
    step = next(iter(made.streams.values()))
    batch = next(step.batches("rows", made.seed))

    objective, apart = made.tasks.evaluate(Step({"rows": batch}, made.encoder), update, dict.fromkeys(terms, 1.0))
    made.tasks.backward(objective, apart, update, logging=False)
    assert learns.weight.grad is not None and rests.weight.grad is None


def test_first_rows_of_trees():
    rows = evaluate._rows({"a": torch.arange(4), "b": (torch.arange(4), [1, 2, 3, 4])}, 2)
    assert rows["a"].tolist() == [0, 1] and rows["b"][0].tolist() == [0, 1] and rows["b"][1] == [1, 2]
    assert evaluate._rows(None, 2) is None


def test_a_fingerprint_sees_the_members_of_a_set():
    class Chosen(nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.kept = kept

    one, same, other = (fingerprint(Chosen(kept), []) for kept in ({"a", "b"}, {"b", "a"}, {"a", "c"}))
    assert one == same != other
    assert fingerprint(Chosen(frozenset({1, 2})), []) != fingerprint(Chosen(frozenset({1, 3})), [])


def test_configurations_of_words_are_compared():
    assert by_value("cosine") == "cosine" != by_value("linear") and by_value(None) == "None"
    assert by_value(2) == 2.0 and by_value(lambda progress: 2 * progress)["at progress 0.5"] == 1.0


def test_numbers_of_a_step_keep_their_names():
    found = as_numbers({"a": torch.tensor(1.5), "b": 2.0, "c": torch.tensor([3.5])})
    assert found == {"a": 1.5, "b": 2.0, "c": 3.5}


@pytest.mark.parametrize(
    "output, words", [(None, "got nothing"), (torch.zeros(2, 3), r"got \(2, 3\)"), ([1], "got list")]
)
def test_an_output_of_a_layer_of_another_size_is_named(output, words):
    with pytest.raises(
        ValueError, match=rf"^layer `body.0` must return a tensor with one row for each of 4 .* {words}\.$"
    ):
        Pass(("a",), [4], torch.zeros(4, 2), {"body.0": output})


@pytest.mark.parametrize("method, arguments", [("loss", 2), ("measure", 2), ("score", 1), ("check", 1)])
def test_a_program_of_a_head_names_the_lost_method(method, arguments):
    program = torch.export.export(nn.Linear(2, 3), (torch.zeros(3, 2),))
    head = ProgramHead(program, "cpu", "Own", ["a", "b", "c"], 3)
    assert head.names == ["a", "b", "c"] and head.classes == 3
    message = rf"^`{method}` of the head Own is code, which a folder does not hold: give the head, "
    with pytest.raises(NoRecipe, match=message + r"`Model.load\(folder, head=\.\.\.\)`\.$"):
        getattr(head, method)(*[None] * arguments)


def test_a_source_that_is_no_stream_is_named_by_its_class():
    class Mine:
        pass

    assert _data(Mine()) == "Mine" and _data(Stream(cloud(), 12)) == "TensorDataset of 48 rows"


def test_a_program_without_features_of_a_known_size(tmp_path):
    """An encoder of a user that is no `Encoder` comes back as a program, an `Encoder` as an `Encoder`."""

    class Doubled(nn.Module):
        def forward(self, x):
            return 2 * x

    x = torch.randn(5, 6)
    for encoder, kind in ((Doubled(), "Program"), (encoders.wrap(Doubled(), 6), "Encoder")):
        model = Model(encoder, heads.Classifier(6, 3), inputs=x)
        found = Model.load(model.save(tmp_path / kind))
        assert type(found.encoder).__name__ == kind and torch.equal(found.outputs(x), model.outputs(x))
        if kind == "Encoder":
            assert found.encoder.dim == 6
            again = Model.load(found.save(tmp_path / "again"))
            assert torch.equal(again.outputs(x), model.outputs(x))


def test_a_model_of_a_checkpoint_collates_as_asked(tmp_path):
    made, _ = trainer()
    path = made.fit(1).save(tmp_path / "checkpoint")
    seen = []

    def halved(items):
        seen.append(len(items))
        return torch.stack([torch.as_tensor(item[0] if isinstance(item, tuple) else item) for item in items]) / 2

    x = cloud(5).tensors[0]
    found = Model.from_checkpoint(path, "supervised_source", collate=halved)
    wanted = Model.from_checkpoint(path, "supervised_source").outputs(x / 2)
    torch.testing.assert_close(found.outputs(TensorDataset(x)), wanted)
    assert seen


def test_a_watched_set_names_a_stream_that_is_there():
    both = {"left": network()[0], "right": network(seed=1)[0]}
    head, data = heads.Classifier(8, 3), {name: Stream(cloud(), 12, encoder=name) for name in ("left", "right")}
    terms = [supervised(head, on="left"), Term("size", lambda s: s["right"].features.square().mean())]
    options = {"progress": False, "device": "cpu"}
    with pytest.raises(KeyError, match="middle"):
        Trainer(both, terms, data, watch={"held out": (head, cloud(9), "middle")}, **options)
    made = Trainer(both, terms, data, watch={"held out": (head, cloud(9), "left")}, **options).fit(1)
    assert made.watch["held out"][2] == "left"


def test_layers_of_several_encoders_are_asked_of_their_encoder():
    """A term that reads a layer of one of two encoders, whose layers have other names."""
    left = encoders.wrap(nn.Sequential(nn.Linear(6, 5), nn.Tanh()), 5, layers=["0"])
    right = network()[0]
    head = heads.Classifier(8, 3)
    seen = []

    def size(step):
        seen.append(step["left"].layer("0").shape)
        return step["left"].layer("0").square().mean()

    data = {"left": Stream(cloud(), 12, encoder="left"), "right": Stream(cloud(), 12, encoder="right")}
    terms = [supervised(head, on="right"), Term("size", size, layers=["0"], streams=["left"])]
    Trainer({"left": left, "right": right}, terms, data, progress=False, device="cpu").fit(1)
    assert seen == [(12, 5)]


def test_what_cannot_be_saved_is_found_before_the_first_step(tmp_path):
    made, _ = trainer(log=tmp_path, ema=0.5)
    made.callbacks = [Remembers()]
    with pytest.raises(checkpoint.CheckpointError, match="callbacks"):
        made.fit(1)
    assert made.step == 0


class Remembers:
    def __call__(self, logged):
        pass

    def state_dict(self):
        return {"seen": object()}

    def load_state_dict(self, state):
        pass


def test_a_term_with_layers_asks_for_an_encoder():
    head = heads.Classifier(8, 3)
    terms = [supervised(head, on="source"), Term("size", lambda s: s["source"].layer("0").mean(), layers=["0"])]
    with pytest.raises(TypeError, match=r"^`encoder` of a term with `layers` must .*take `encoders.wrap\(module\)`"):
        Trainer(nn.Linear(6, 8), terms, streams(), progress=False, device="cpu")


def test_a_term_with_foreign_parameters_names_the_remedy():
    encoder, head = network()
    stray = nn.Linear(8, 1)
    term = Term("stray", lambda s: stray(s["source"].features).mean())
    made = Trainer(encoder, [supervised(head, on="source"), term], streams(), progress=False, device="cpu")
    message = r"^term `stray` uses 2 parameters that no term owns, .*Pass their module to the term, `Term\(\.\.\., "
    with pytest.raises(ValueError, match=message + r"modules=\[head\]\)`, or freeze them\.$"):
        made.fit(1)


def test_the_best_is_kept_only_of_a_known_set(tmp_path):
    encoder, head = network()
    best = KeepBest("nowhere")
    with pytest.raises((KeyError, ValueError), match="^['\"]?`KeepBest`"):
        Trainer(encoder, [supervised(head, on="source")], streams(), watch={"held out": (head, cloud(9))},
                callbacks=[best], log=tmp_path, progress=False, device="cpu").fit(1)  # fmt: skip
