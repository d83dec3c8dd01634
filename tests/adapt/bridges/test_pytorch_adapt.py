"""Hooks of pytorch-adapt as terms: equal to running them its own way, and doing no harm beside other terms."""

import copy
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Phase, Stream, Term, Trainer, heads
from adapt.bridges import pytorch_adapt as bridge
from adapt.engine import configuration, runtime
from adapt.randomness import keyed_seed
from tests.adapt.domain.test_methods import step
from tests.adapt.engine.tiny import DIM, cloud, network, streams
from tests.ranks import run_ranks

pa = pytest.importorskip("pytorch_adapt")
from pytorch_adapt import adapters, hooks, layers  # noqa: E402
from pytorch_adapt.containers import Models, Optimizers  # noqa: E402
from pytorch_adapt.hooks.optimizer import OptimizerHook  # noqa: E402
from pytorch_adapt.weighters import SumWeighter  # noqa: E402

STEPS, RATE = 5, 0.1
NAMES = ["G_opt", "C_opt", "D_opt"]


def made(*, batch_norm=True, combined=False, dtype=torch.float32):
    """The same models each time: an encoder, a classifier, a discriminator, and CDAN's random map."""
    encoder, head = network(batch_norm=batch_norm, dtype=dtype)
    torch.manual_seed(1)
    return {
        "G": encoder,
        "C": head,
        "D": heads.Discriminator(16 if combined else 8, hidden=16).to(dtype),
        "feature_combiner": layers.RandomizedDotProduct([8, 3], 16).to(dtype),
    }


def atdoc():
    torch.manual_seed(2)  # its bank starts at random
    return hooks.ATDOCHook(dataset_size=40, feature_dim=8, num_classes=3)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=RATE)


def equal_streams():
    return {**streams(), "target": Stream(cloud(40, seed=1, shift=0.7), 12, labels=False)}


def own_way(hook, models, data=streams):
    """Five steps as pytorch-adapt runs them; yields the parts of its objectives after each."""
    data = {name: stream.batches(name, 0) for name, stream in data().items()}
    for number in range(STEPS):
        source, target = next(data["source"]), next(data["target"])
        batch = {
            "src_imgs": source.inputs, "src_labels": source.labels, "src_sample_idx": source.index,
            "src_domain": torch.zeros(12), "target_imgs": target.inputs, "target_sample_idx": target.index,
            "target_domain": torch.ones(len(target.index)), "combined_model": nn.Sequential(models["G"], models["C"]),
        }  # fmt: skip
        runtime.seed_dropout(keyed_seed(0, number, 0, 0, 0), torch.device("cpu"))
        yield hook({**models, **batch})[1]


def compare(trainer, theirs, models, ours, learning, *, equal=torch.equal):
    """Compare losses and gradients after each step, and at the end every weight and buffer; return the steps."""
    seen = []
    for term in trainer.terms:
        term.loss.register_forward_hook(lambda module, inputs, value: seen.append(value.item()))
    for number, summary in enumerate(theirs, start=1):
        seen.clear()
        trainer.fit(number)
        if summary is not None:
            torch.testing.assert_close(sum(seen), summary, rtol=1e-6, atol=0)
        for name in learning:
            for one, other in zip(models[name].parameters(), ours[name].parameters(), strict=True):
                assert equal(one.grad, other.grad) and one.grad.abs().max() > 0
    for name in learning:
        for one, other in zip(models[name].state_dict().values(), ours[name].state_dict().values(), strict=True):
            assert equal(one, other)
    return number


def run(terms, encoder, **options):
    return Trainer(encoder, terms, streams(), optimizer=sgd, passes="separate", progress=False, device="cpu", **options)


BARE = {  # beside the classifier's loss, with weights
    "mcc": (lambda: hooks.MCCHook(), {}),
    "bnm": (lambda: hooks.BNMHook(), {}),
    "atdoc": (atdoc, {}),
    "vat": (lambda: hooks.VATHook(loss_fn=layers.VATLoss(epsilon=0.5)), {"src_vat_loss": 0.1, "target_vat_loss": 0.3}),
    "afn": (lambda: hooks.AFNHook(), {}),
    "mmd": (lambda: hooks.AlignerHook(layers.MMDLoss(mmd_type="quadratic")), {}),
}


@pytest.mark.parametrize("name", BARE)
def test_equals_its_own_way_for_five_steps(name):
    make, weights = BARE[name]
    models, ours = made(), made()
    chain = hooks.ChainHook(hooks.CLossHook(), make())
    optimized = OptimizerHook(
        chain, [sgd(models["G"].parameters()), sgd(models["C"].parameters())], SumWeighter(weights=weights)
    )
    theirs = (optimized.loss_components["total"] for _ in own_way(optimized, models))
    terms = [bridge.hook(hooks.CLossHook(), {"C": ours["C"]}), bridge.hook(make(), {"C": ours["C"]}, weights=weights)]
    assert compare(run(terms, ours["G"]), theirs, models, ours, ["G", "C"]) == STEPS


HELD = {  # hooks that hold the optimizer of everything
    "dann": lambda opts: hooks.DANNHook(opts),
    "dann and more": lambda opts: hooks.DANNHook(opts, post_g=[hooks.MCCHook(), hooks.VATHook(), atdoc()]),
    "cdan-e, reversed": lambda opts: hooks.CDANNEHook(opts=opts),
    "dann-e": lambda opts: hooks.DANNEHook(opts=opts, weighter=SumWeighter(weights={"src_c_loss": 0.5})),
}


@pytest.mark.parametrize("name", HELD)
def test_with_its_optimizer_inside_equals_its_own_way(name):
    models, ours = (made(combined=name.startswith("cdan")) for _ in range(2))
    real = [sgd(models[m].parameters()) for m in "GCD"]
    summaries = (s["total_loss"]["total"] for s in own_way(HELD[name](real), models))
    assert compare(run([bridge.hook(HELD[name](NAMES), ours)], ours["G"]), summaries, models, ours, "GCD") == STEPS


def cdan_phases(ours):
    half, third = 1 / 2, 1 / 3  # pytorch-adapt's mean over an optimizer's losses
    learn = hooks.ChainHook(hooks.CDANDomainHookG(), hooks.CLossHook())
    tell = {"d_src_domain_loss": half, "d_target_domain_loss": half}
    hide = {"g_src_domain_loss": third, "g_target_domain_loss": third, "src_c_loss": third}
    return [
        Phase([bridge.hook(hooks.CDANDomainHookD(), ours, weights=tell, name="tell")], update=[ours["D"]], name="D"),
        Phase([bridge.hook(learn, ours, weights=hide, name="hide")], update=[ours["G"], ours["C"]], name="G"),
    ]


def test_cdan_in_two_phases_equals_its_own_way():
    # its swapped domain labels ask for equal batch sizes; BatchNorm would see each batch once a phase
    models, ours = (made(combined=True, batch_norm=False) for _ in range(2))
    d, g, c = (sgd(models[m].parameters()) for m in "DGC")
    theirs = hooks.CDANHook(d_opts=[d], g_opts=[g, c])
    summaries = (s["d_loss"]["total"] + s["g_loss"]["total"] for s in own_way(theirs, models, equal_streams))
    trainer = Trainer(
        ours["G"], streams=equal_streams(), phases=cdan_phases(ours), optimizer=sgd, passes="separate", progress=False,
        device="cpu",
    )  # fmt: skip
    # their discriminator keeps the gradient of its own step and adds the other's, ours is restricted
    assert compare(trainer, summaries, models, ours, "GC") == STEPS
    for one, other in zip(models["D"].parameters(), ours["D"].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_references_above_notice_a_change():
    models, ours = made(), made()
    theirs = hooks.DANNHook([sgd(models[m].parameters()) for m in "GCD"])
    term = bridge.hook(hooks.DANNHook(NAMES, gradient_reversal_weight=0.9), ours)
    summaries = (s["total_loss"]["total"] for s in own_way(theirs, models))
    with pytest.raises(AssertionError):
        assert compare(run([term], ours["G"]), summaries, models, ours, "GCD") == STEPS


# ---- beside other terms ----


def test_the_encoder_runs_once_for_all_terms():
    encoder, head = network()
    rows = []
    encoder.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    models = {"C": head, "D": heads.Discriminator(8)}
    terms = [
        adapt.supervised(head, "source"),
        bridge.hook(hooks.DANNHook(NAMES), models),
        bridge.hook(hooks.BNMHook(), {"C": head}),
    ]
    Trainer(encoder, terms, streams(), progress=False, device="cpu").fit(1)
    assert rows == [20]


def test_a_hook_on_the_target_alone_asks_for_the_target_alone():
    encoder, head = network()
    term = bridge.hook(hooks.MCCHook(), {"C": head}, target="new")
    assert term.name == "mcc" and term.streams == ("new",)
    Trainer(encoder, [term], {"new": streams()["target"]}, progress=False, device="cpu").fit(1)


def test_gradients_and_modes_are_left_as_they_were():
    encoder, head = network(batch_norm=True)
    encoder.body[1].eval()
    for p in [*encoder.parameters(), *head.parameters()]:
        p.grad = torch.ones_like(p)
    term = bridge.hook(hooks.VATHook(), {"C": head})
    value = term(step(encoder))
    assert not encoder.body[1].training and encoder.body[0].training
    assert all((p.grad == 1).all() for p in [*encoder.parameters(), *head.parameters()])
    value.backward()
    assert encoder.body[0].weight.grad.sub(1).abs().max() > 0


def test_vat_accumulates():
    """Two batches a step give the mean of their gradients, and the other term's are there too."""

    def gradient(accumulate):
        encoder, head = network(dtype=torch.float64)
        noise = torch.ones(1, DIM, dtype=torch.float64)
        vat = layers.VATLoss(epsilon=0.5)
        vat.get_perturbation = lambda inputs, *rest: real(0 * inputs + noise, *rest) * 0 + 0.1
        real = layers.VATLoss.get_perturbation.__get__(vat)
        terms = [adapt.supervised(head, "source"), bridge.hook(hooks.VATHook(vat), {"C": head})]
        data = {
            n: Stream(TensorDataset(*cloud(16, dtype=torch.float64).tensors), 16 // accumulate, shuffle=False)
            for n in ("source", "target")
        }
        Trainer(encoder, terms, data, optimizer=sgd, accumulate=accumulate, progress=False, device="cpu").fit(1)
        return encoder.body[0].weight.grad

    torch.testing.assert_close(gradient(2), gradient(1), rtol=1e-9, atol=1e-12)


def test_a_frozen_encoder_and_one_left_out_of_the_phase():
    encoder, head = network()
    encoder.requires_grad_(False)
    models = {"C": head, "D": heads.Discriminator(8)}
    before = copy.deepcopy(encoder.state_dict())
    Trainer(encoder, [bridge.hook(hooks.DANNHook(NAMES), models)], streams(), progress=False, device="cpu").fit(2)
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_features_that_are_asked_for_detached_first_keep_their_gradient():
    encoder, head = network()
    models = {"C": head, "D": heads.Discriminator(8)}
    first, then = bridge.hook(hooks.DomainLossHook(detach_features=True), models), bridge.hook(hooks.MCCHook(), models)
    s = step(encoder)
    (first(s) + then(s)).backward()
    assert encoder.body[0].weight.grad.abs().max() > 0


def test_bf16_features_change_little():
    encoder, head = network()
    term = bridge.hook(hooks.DANNHook(NAMES), {"C": head, "D": heads.Discriminator(8)})
    full, half = term(step(encoder)), term(step(encoder, autocast=torch.autocast("cpu", torch.bfloat16)))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)


ALIGN = layers.CORALLoss()  # its MMD asks for equal batch sizes
OTHERS = {
    "entropy": hooks.TargetEntropyHook, "diversity": hooks.TargetDiversityHook, "bsp": hooks.BSPHook,
    "vat and entropy": hooks.VATPlusEntropyHook, "domain loss": hooks.DomainLossHook,
    "features and logits": lambda: hooks.FeaturesLogitsAlignerHook(ALIGN),
    "many": lambda: hooks.ManyAlignerHook(ALIGN),
    "align": lambda: hooks.AlignerPlusCHook(NAMES[:2], loss_fn=ALIGN),
    "classify": lambda: hooks.ClassifierHook(NAMES[:2]),
    "finetune": lambda: hooks.FinetunerHook(opts=["C_opt"]), "dann on logits": lambda: hooks.DANNLogitsHook(opts=NAMES),
    "dann on softmax": lambda: hooks.DANNSoftmaxLogitsHook(opts=NAMES),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*reached by no term")  # every hook gets all models, and few use all
@pytest.mark.parametrize("name", OTHERS)
def test_other_hooks_train(name):
    encoder, head = network()
    models = {"C": head, "D": heads.Discriminator(3 if name.startswith("dann") else 8)}
    before = copy.deepcopy(encoder.state_dict() | head.state_dict())
    Trainer(encoder, [bridge.hook(OTHERS[name](), models)], streams(), progress=False, device="cpu").fit(2)
    assert any(not torch.equal(before[k], v) for k, v in (encoder.state_dict() | head.state_dict()).items())


def test_parts_of_the_objective_are_reported():
    encoder, head = network()
    s = step(encoder, logging=True)
    bridge.hook(hooks.DANNHook(NAMES), {"C": head, "D": heads.Discriminator(8)})(s)
    assert {f"DANNHook/{name}" for name in ("src_domain_loss", "target_domain_loss", "src_c_loss")} <= set(s.reports)


# ---- state ----


def with_bank(**options):
    encoder, head = network()
    models = {"C": head, "D": heads.Discriminator(8)}
    torch.manual_seed(5)
    hook = hooks.DANNHook(NAMES, post_g=[atdoc(), hooks.VATHook()])
    return Trainer(encoder, [bridge.hook(hook, models)], streams(), progress=False, device="cpu", **options)


def test_resumes_exactly_with_the_bank(tmp_path):
    whole = with_bank(ema=0.9)
    path = whole.fit(3).save(tmp_path / "half")
    whole.fit(6)
    torch.manual_seed(99)
    again = with_bank(ema=0.9)
    again.resume(path).fit(6)
    one, other = whole.network.state_dict(), again.network.state_dict()
    assert any("feat_memory" in name for name in one)
    assert all(torch.equal(one[name], other[name]) for name in one)


# ---- ranks ----

RANKED = {
    "dann": lambda: hooks.DANNHook(NAMES),
    "mcc": lambda: hooks.ChainHook(hooks.CLossHook(), hooks.MCCHook()),
    "bnm, coral": lambda: hooks.ChainHook(hooks.BNMHook(), hooks.AlignerHook(layers.CORALLoss())),
    "atdoc": atdoc,
    "coral, ours": lambda: hooks.AlignerHook(loss_fn=partial(losses.coral, global_batch=False)),
}


def ranked(name):
    models = made(batch_norm=False, dtype=torch.float64)
    term = bridge.hook(RANKED[name](), models)
    term.loss.double()  # the bank
    return Trainer(models["G"], [term], streams(dtype=torch.float64), optimizer=sgd, progress=False, device="cpu")


def on_a_rank(rank, world):
    models = made()
    twice = bridge.hook(hooks.AlignerHook(loss_fn=losses.coral), models)
    with pytest.raises(ValueError, match="gather the rows of all ranks a second time"):
        Trainer(models["G"], [twice], streams(), progress=False, device="cpu")
    return {name: {k: v.clone() for k, v in ranked(name).fit(4).network.state_dict().items()} for name in RANKED}


@pytest.mark.filterwarnings("ignore:.*reached by no term")  # every hook gets all models, and few use all
def test_two_ranks_equal_one():
    first, second = run_ranks(on_a_rank, 2, cold=True)
    for name in RANKED:
        whole = ranked(name)
        start = copy.deepcopy(whole.network.state_dict())
        whole.fit(4)
        for k, value in whole.network.state_dict().items():
            torch.testing.assert_close(first[name][k], value, rtol=1e-9, atol=1e-12)
            assert torch.equal(first[name][k], second[name][k])
        assert any(not torch.equal(start[k], v) for k, v in whole.network.state_dict().items())


def test_another_process_gives_the_same_configuration():
    """pytorch-adapt makes lists of sets: the order of the names differs from process to process."""

    def of(turned):
        models = made()
        term = bridge.hook(hooks.DANNHook(NAMES), models)
        lists = [p.apply_to for p in bridge._parts_of(term.loss.hook) if isinstance(getattr(p, "apply_to", None), list)]
        assert any(len(names) > 1 for names in lists)
        for names in lists:
            names.sort(reverse=turned)
        trainer = Trainer(models["G"], [term], streams(), optimizer=sgd, progress=False, device="cpu")
        return trainer.settings, configuration.configuration(trainer)

    assert of(True) == of(False)


# ---- the other directions ----


def test_layers_are_losses():
    encoder, head = network()
    layer = layers.MCCLoss(T=2.5)
    theirs = Term("mcc", lambda s: layer(s.output(head, "target")), modules=[head])
    ours = losses.minimum_class_confusion(step(encoder).output(head, "target"), temperature=2.5)
    torch.testing.assert_close(theirs(step(encoder)), ours)
    bank = layers.NeighborhoodAggregation(40, 8, 3)
    term = Term("bank", lambda s: bank(s["target"].features, idx=s["target"].index)[1].sum(), modules=[bank])
    assert term in Trainer(encoder, [term], streams(), progress=False, device="cpu").terms


def test_our_losses_inside_its_hooks():
    encoder, head = network()
    s = step(encoder)
    for hook, expected in (
        (hooks.AlignerHook(loss_fn=losses.coral), losses.coral(s["source"].features, s["target"].features)),
        (hooks.BNMHook(loss_fn=losses.batch_nuclear_norm), losses.batch_nuclear_norm(s.output(head, "target"))),
        (hooks.TargetEntropyHook(loss_fn=losses.entropy), losses.entropy(s.output(head, "target"))),
    ):
        torch.testing.assert_close(bridge.hook(hook, {"C": head})(step(encoder)), expected)


def test_our_encoder_and_heads_inside_its_containers():
    ours = {name: made(batch_norm=False)[name] for name in "GCD"}
    models = Models(copy.deepcopy(ours))
    adapter = adapters.DANN(models=models, optimizers=Optimizers((torch.optim.SGD, {"lr": RATE})))
    data = {name: stream.batches(name, 0) for name, stream in streams().items()}
    source, target = next(data["source"]), next(data["target"])
    batch = {
        "src_imgs": source.inputs, "src_labels": source.labels, "src_domain": torch.zeros(12),
        "target_imgs": target.inputs, "target_domain": torch.ones(8), "src_sample_idx": source.index,
        "target_sample_idx": target.index,
    }  # fmt: skip
    adapter.training_step(batch)
    # and the container, as it is, for the bridge
    Trainer(
        ours["G"], [bridge.hook(hooks.DANNHook(NAMES), Models(ours))], streams(), optimizer=sgd, passes="separate",
        progress=False, device="cpu",
    ).fit(1)  # fmt: skip
    for name in "GCD":
        for one, other in zip(models[name].parameters(), ours[name].parameters(), strict=True):
            assert torch.equal(one, other)


# ---- the door ----


@pytest.mark.parametrize(
    "make",
    [
        lambda: hooks.CDANHook(d_opts=["D_opt"], g_opts=["G_opt", "C_opt"]),
        lambda: hooks.MCDHook(g_opts=["G_opt"], c_opts=["C_opt"]),
        lambda: hooks.ADDAHook(d_opts=["D_opt"], g_opts=["G_opt"]),
        lambda: hooks.RepeatHook(hooks.DANNHook(NAMES), 2),
    ],
)
def test_hooks_that_alternate_are_refused_with_the_remedy(make):
    with pytest.raises(ValueError, match="more than once a batch.*its term and its phase"):
        bridge.hook(make(), made())


def test_bad_input_is_said_at_the_door():
    models = made()
    with pytest.raises(ValueError, match=r"holds the optimizers \['SGD'.*give names instead"):
        bridge.hook(hooks.DANNHook([sgd(models["G"].parameters())]), models)
    with pytest.raises(ValueError, match=r"holds the optimizers \[\]"):
        bridge.hook(hooks.DANNHook([]), models)
    with pytest.raises(ValueError, match=r"DANNHook calls \['C', 'D'\]"):
        bridge.hook(hooks.DANNHook(NAMES))
    with pytest.raises(ValueError, match="must be a hook.*A layer is a loss already"):
        bridge.hook(layers.MCCLoss(), models)
    with pytest.raises(ValueError, match=r"names \['mcc'\]; expected some of \['mcc_loss'\]"):
        bridge.hook(hooks.MCCHook(), models, weights={"mcc": 1.0})
    with pytest.raises(ValueError, match="expected the hook's own `weighter`"):
        bridge.hook(hooks.DANNHook(NAMES), models, weights={"src_c_loss": 1.0})
    with pytest.raises(ValueError, match="learns from the labels of stream `target`"):
        term = bridge.hook(hooks.CLossHook(), models, source="target")
        Trainer(models["G"], [term], streams(), progress=False, device="cpu")
    with pytest.raises(ValueError, match="not the encoder of this trainer"):
        bridge.hook(hooks.MCCHook(), models)(step(network()[0]))
    with pytest.raises(ValueError, match="bank of 39 rows.*40 rows"):
        term = bridge.hook(hooks.ATDOCHook(39, 8, 3), models)
        Trainer(models["G"], [term], streams(), progress=False, device="cpu")


def test_the_page_runs_as_it_stands_there():
    pytest.importorskip("torchjd")
    page = (Path(__file__).parents[3] / "docs" / "bridges.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    encoder, _ = network()
    names = {"encoder": encoder, "source": cloud(80), "target": cloud(70), "losses": losses}
    rows, labels = cloud(20).tensors
    names |= {"source_features": rows, "source_labels": labels, "target_features": rows + 1}
    names |= {"x": rows.numpy(), "y": labels.numpy(), "new": rows.numpy() + 1}
    names |= {"few_x": names["new"][:12], "few_y": names["y"][:12]}
    for block in blocks:
        exec(block, names)
    assert names["trainer"].fit(2).step == 2
    data = {name: Stream(cloud(70), 16) for name in ("source", "target")}
    Trainer(encoder, streams=data, phases=names["phases"], progress=False, device="cpu").fit(2)
    assert names["found"]["coral"].shape == (20,)
    assert names["balance"].at == "features" and names["balance"](torch.ones(2), torch.eye(2)).tolist() == [1.0, 1.0]
