"""Rows 28, 29 and 39: a resumed run, and every rank, must have the configuration of the run, compared by values."""

import re
import time
import warnings

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Stream, Term, Trainer, domain, encoders, heads
from adapt.engine import checkpoint, cosine, ramp
from adapt.engine.configuration import configuration
from tests.adapt.engine.tiny import Items, cloud, jitter, network, weights
from tests.ranks import run_ranks


def steps(top):
    return lambda progress: top if progress > 0.4 else 1.0


def made(folder=None, *, data=None, target=None, stream=None, strength=None, weight=0.1, scale=None, terms=(), net=None,
         encoder_scale=1.0, frozen=False, **options):  # fmt: skip
    encoder, head = network(**(net or {}))
    encoder.body[0].bias.requires_grad_(not frozen)
    torch.manual_seed(2)
    align = Term("align", lambda s: scale * losses.mmd(s["source"].features, s["target"].features), weight)
    scale = 1.0 if scale is None else scale
    blocks = [
        adapt.supervised(head, "source"),
        domain.dann(8, hidden=16, strength=strength or ramp(0.5)),
        align,
        *terms,
    ]
    streams = {
        "source": Stream(data or cloud(), 12, **(stream or {})),
        "target": Stream(target or cloud(40, seed=1), 8, labels=False),
    }
    return Trainer(
        encoder, blocks, streams, log=folder, save_every=2, progress=False, encoder_scale=encoder_scale, **options
    )


def flipped():
    x, y = cloud().tensors
    return TensorDataset(x, (y + 1) % 3)


def groups(rate):
    def optimizer(given):
        parameters = given[0]["params"]
        return torch.optim.AdamW([{"params": parameters[:2], "lr": rate}, {"params": parameters[2:]}], lr=1e-3)

    return optimizer


def noise(x):
    return x + torch.randn_like(x)


CHANGES = {
    "schedule": ({"schedule": steps(2.0)}, {"schedule": steps(3.0)}, "schedule at progress 0.45: 2.0 there, 3.0 here"),
    "cosine": ({"schedule": cosine()}, {"schedule": lambda p: 1 - p}, "schedule at progress 0.05"),
    "constant": ({}, {"schedule": 0.5}, "schedule: 1.0 there, 0.5 here"),
    "weight": ({"weight": steps(2)}, {"weight": steps(4)}, "weight of term align at progress 0.45: 2.0 there, 4.0"),
    "strength": ({"strength": steps(2)}, {"strength": steps(4)}, "dann.*strength at progress 0.45: 2.0 there"),
    "ramp": ({}, {"strength": ramp(0.6)}, "terms: "),
    "captured": ({"scale": 2.0}, {"scale": 3.0}, "value in term align scale: 2.0 there, 3.0 here"),
    "rate of a group": ({"optimizer": groups(1e-4)}, {"optimizer": groups(1e-5)}, "optimizers: .*0.0001.*1e-05"),
    "number of groups": ({}, {"optimizer": groups(1e-4)}, "optimizers: "),
    "kind of optimizer": ({}, {"optimizer": lambda g: torch.optim.SGD(g, lr=1e-3)}, "optimizers: AdamW.*SGD"),
    "scale of the encoder": ({"encoder_scale": 0.1}, {"encoder_scale": 0.2}, "encoder_scale: 0.1 there, 0.2 here"),
    "scale by progress": (
        {"encoder_scale": {"0": 0.1, "4": steps(2)}}, {"encoder_scale": {"0": 0.1, "4": steps(3)}},
        "rate of main, encoder.4 at progress 0.45",
    ),
    "shuffle": ({}, {"stream": {"shuffle": False}}, "streams: .*shuffle=False"),
    "batch size": ({}, {"stream": {"last": "keep"}}, "streams: .*last='keep'"),
    "other rows": ({}, {"data": cloud(seed=9)}, "data source rows of other values"),
    "one row": ({}, {"data": TensorDataset(cloud().tensors[0] * 1.0001, cloud().tensors[1])}, "data source rows of"),
    "other labels": ({}, {"data": flipped()}, "data source labels of other values"),
    "other target": ({}, {"target": cloud(40, seed=2)}, "data target rows of other values"),
    "rows of files": ({"data": Items(cloud())}, {"data": Items(cloud(seed=9))}, r"data source row \d+ of other values"),
    "labels of files": ({"data": Items(cloud())}, {"data": Items(flipped())}, r"data source row \d+ of other values"),
    "augmentation": ({"stream": {"augment": jitter}}, {"stream": {"augment": noise}}, r"source row \d+ of"),
    "dropout": ({"net": {"dropout": 0.1}}, {"net": {"dropout": 0.2}}, r"module encoder.body.3: Dropout\(p=0.1"),
    "frozen": ({}, {"frozen": True}, "learning in phase main: encoder.body.0.bias there, none of these here"),
    "classes": ({}, {"terms": [Term("more", lambda s: s["source"].features.sum())]}, "terms: "),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_another_value_is_refused_and_nothing_is_changed(tmp_path, name):
    before, after, message = CHANGES[name]
    made(tmp_path, **before).fit(2, planned=4)
    run = made(tmp_path, **after)
    start = weights(run)
    for again in (run.resume, lambda: run.fit(4)):
        with pytest.raises(checkpoint.CheckpointError, match=f"another configuration: .*{message}"):
            again()
    assert torch.equal(start, weights(run)) and run.step == 0 and not run.torn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert made(tmp_path, **before).resume().fit(4).step == 4  # the same values in new objects are the same run


def test_the_same_values_under_another_name_go_on(tmp_path):
    def later(progress):
        return 2.0 if progress > 0.4 else numpy.float64(1)

    made(tmp_path, schedule=steps(2.0)).fit(2, planned=4)
    assert made(tmp_path, schedule=later).resume().step == 2


def test_data_without_a_key_is_not_compared(tmp_path):
    chance = numpy.random.default_rng(0)

    class Own(Items):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x + float(chance.normal()), y

    made(tmp_path, data=Own(cloud())).fit(2, planned=4)
    assert made(tmp_path, data=Own(cloud())).resume().step == 2


def test_any_items_can_be_compared():
    from PIL import Image

    class Mixed:
        def __len__(self):
            return 20

        def __getitem__(self, i):
            image = Image.fromarray(numpy.full((4, 4, 3), i, numpy.uint8))
            return {"image": image, "text": f"row {i}", "boxes": [torch.ones(i, 4)], "x": numpy.ones(2), "y": i % 3}

    stream = Stream(Mixed(), 4, label="y", collate=lambda items: items)
    seen = adapt.engine.rows.look("s", stream, 0)
    assert len(seen) >= 2 and len({str(v) for v in seen.values()}) == len(seen)  # as many as the time allows


def test_the_comparison_costs_less_than_50_ms():
    class Slow(Items):
        def __getitem__(self, index):
            time.sleep(0.005)
            return super().__getitem__(index)

    encoder = encoders.small_conv(width=8)
    big = TensorDataset(torch.randn(20_000, 1, 8, 8), torch.randint(10, (20_000,)))
    head = heads.Classifier(encoder, classes=10)
    run = Trainer(encoder, [adapt.supervised(head, "a")], {"a": Stream(big, 16), "b": Stream(Slow(big), 16)})
    configuration(run)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        configuration(run)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


def test_an_optimizer_that_refuses_leaves_the_weights(tmp_path):
    """Row 39: the weights are not touched before the optimizers have taken their states."""
    path = made(tmp_path).fit(2).save(tmp_path / "mine")
    run = made()
    run.updates[0].optimizer.load_state_dict = lambda state: [][1]
    start = weights(run)
    with pytest.raises(IndexError):
        run.resume(path)
    assert torch.equal(start, weights(run))


RANKS = {
    "steps": ({}, 4, "steps: 2 on rank 0, 4 on rank 1"),
    "rows": ({"data": cloud(seed=9)}, 2, "data source rows of other values"),
    "length": ({"data": cloud(60)}, 2, "streams: .*48 rows.*60 rows"),
    "schedule": ({"schedule": steps(3.0)}, 2, "schedule"),
    "seed": ({"seed": 4}, 2, "seed: 0 on rank 0, 4 on rank 1"),
}


def on_a_rank(rank, world, folder):
    found = {}
    for name, (options, until, _) in RANKS.items():
        run = made(**(options if rank == 1 else {}))
        start = weights(run)
        try:
            run.fit(until if rank == 1 else 2)
        except ValueError as error:
            found[name] = str(error), bool(torch.equal(start, weights(run)))
    try:
        made(net={"dtype": torch.float64} if rank else {})
    except ValueError as error:
        found["modules"] = str(error), True
    run = made(folder / "two").fit(2, planned=4)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(folder):
    return run_ranks(on_a_rank, 2, folder)


@pytest.mark.parametrize("name", [*RANKS, "modules"])
def test_ranks_that_differ_are_told_before_the_first_step(ranks, name):
    """Row 29."""
    for found in ranks:
        message, untouched = found[name]
        assert untouched and "all ranks must" in message
    wanted = RANKS[name][2] if name in RANKS else "float32 on rank 0 and .*float64 on rank 1"
    assert all(re.search(wanted, found[name][0]) for found in ranks)


def test_another_number_of_ranks_is_said(ranks, folder):
    run = made(folder / "two")
    with pytest.warns(UserWarning, match="from a run on 2 ranks, and this run has 1: the same run up to rounding"):
        run.resume()
    assert run.fit(4).step == 4


def one_rank_raises(rank, world):
    def loss(step):
        if rank == 1 and step.number == 3:
            raise ValueError("the mask of row 7 is empty")
        return step["source"].features.mean()

    run = made(terms=[Term("masks", loss)])
    try:
        run.fit(8)
    except Exception as error:  # a rank that raises has the other rank killed, before the other rank can say why
        return str(error)
    return "trained"


def test_an_exception_on_one_rank_ends_all_ranks_with_its_message():
    """Row 29."""
    word = "the mask of row 7 is empty"
    assert run_ranks(one_rank_raises, 2) == [
        f"rank 1 ended: ValueError: {word}. This rank 0 ends, too, at step 3.",
        word,
    ]
