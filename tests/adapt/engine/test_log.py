"""What TensorBoard is given."""

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import adapt
import losses
from adapt import Trainer, domain
from adapt.engine import ramp
from adapt.engine.schedule import at, cosine, inverse
from tests.adapt.engine.tiny import cloud, network, streams, two_phases


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    encoder, head = network()
    terms = [adapt.supervised(head, "source"), domain.dann(8, hidden=16), domain.dan(weight=ramp(2.0))]
    watch = {"source": (head, cloud(seed=5)), "target": (head, cloud(seed=6, shift=0.7))}
    made = Trainer(
        encoder, terms, streams(), watch=watch, watch_every=10, log=folder, log_every=5, clip=1.0, progress=False
    )
    made.fit(20)
    return made, head, folder, EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_scalars(run):
    made, head, _, events = run
    tags = set(events.Tags()["scalars"])
    for term in ("supervised_source", "dann", "dan"):
        assert {f"{kind}/{term}" for kind in ("loss", "weighted", "weight", "share")} <= tags
    assert {
        "loss/total", "train_accuracy/source", "domain_accuracy/dann", "weight/dann_strength", "gradient/norm",
        "learning_rate/all", "speed/samples_per_second", "accuracy/source", "accuracy/target",
    } <= tags  # fmt: skip
    values = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in tags}
    assert list(values["loss/dan"]) == [0, 5, 10, 15] and list(values["accuracy/target"]) == [0, 10, 20]
    for step in (0, 5, 10, 15):
        assert sum(values[f"share/{t}"][step] for t in ("supervised_source", "dann", "dan")) == pytest.approx(1)
        assert values["weighted/dan"][step] == pytest.approx(values["weight/dan"][step] * values["loss/dan"][step])
        assert values["weight/dan"][step] == pytest.approx(ramp(2.0)(step / 20))
    assert values["share/dan"][0] == values["share/dann"][0] == 0 and values["share/dan"][15] > 0
    assert values["accuracy/target"][20] == pytest.approx(made.evaluate(head, cloud(seed=6, shift=0.7)).value)


def test_pictures_text_hparams_and_projector(run):
    _, _, folder, events = run
    assert {"confusion/source", "confusion/target"} <= set(events.Tags()["images"])
    assert "settings/text_summary" in events.Tags()["tensors"]
    assert any("hparams" in tag for tag in events.summary_metadata)
    metadata = next(folder.rglob("metadata.tsv")).read_text().splitlines()
    assert metadata[0].split("\t") == ["domain", "class"] and metadata[1].split("\t")[0] == "source"
    assert len(metadata) == 1 + 48 + 48 and (folder / "projector_config.pbtxt").exists()


def test_share_is_that_of_the_gradient_at_the_features(tmp_path):
    encoder, head = network()
    seen = {}
    made = Trainer(
        encoder, [adapt.supervised(head, "source"), domain.dan(weight=3.0)], streams(), log=tmp_path, progress=False
    )
    step_of = made._step
    made._step = lambda *a: seen.update(step_of(*a)) or seen
    batch = {n: next(s.batches(n, 0)) for n, s in made.streams.items()}
    features = encoder(torch.cat([batch["source"].inputs, batch["target"].inputs])).detach().requires_grad_()
    made.fit(1)

    (a,) = torch.autograd.grad(F.cross_entropy(network()[1](features[:12]), batch["source"].labels), features)
    (b,) = torch.autograd.grad(3 * losses.mmd(features[:12], features[12:]), features)
    assert float(seen["share/dan"]) == pytest.approx(float(b.norm() / (a.norm() + b.norm())), rel=1e-4)


def test_phases_have_tags_of_their_own(tmp_path):
    made, _ = two_phases(log=tmp_path)
    made.fit(1)
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert {"loss/critic/critic", "loss/encoder/fool", "loss/encoder/supervised_source"} <= set(tags)


def test_schedules():
    assert at(2.0, 0.3) == 2.0 and at(lambda p: p, 0.3) == 0.3
    assert ramp(1.0)(0.0) == 0 and ramp(3.0)(1.0) == pytest.approx(3, abs=1e-3)
    assert cosine(warmup=0.2)(0.1) == 0.5 and cosine(end=0.1)(1.0) == pytest.approx(0.1) and cosine()(0) == 1
    assert inverse()(1.0) == pytest.approx(11**-0.75)


def test_speed_is_not_measured_over_one_step(run):
    assert all(e.step > 0 for e in run[3].Scalars("speed/samples_per_second"))
