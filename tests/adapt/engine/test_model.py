"""A model outlives its training: names and probabilities in another process, folders, cards."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Subset, TensorDataset

import adapt
from adapt import Model, Stream, Term, Trainer, datasets, domain, encoders, engine, heads, inductive, store, supervised
from adapt.engine import model_folder, recipes
from adapt.engine.programs import read_program
from tests.adapt.engine.tiny import cloud, network, streams, trainer

ROOT = Path(__file__).parents[3]
NAMES = ["ada", "bob", "eve"]
ELSEWHERE = """
import sys, numpy, torch
from adapt import Model
torch.set_num_threads(1)
x, found = torch.from_numpy(numpy.load(sys.argv[1])), {}
for folder in sys.argv[2:]:
    model = Model.load(folder)
    found[folder + " predict"] = numpy.array(model.predict(x))
    found[folder + " probabilities"] = model.probabilities(x) if model.names else model.outputs(x).numpy()
numpy.savez("found.npz", **found)
"""


def elsewhere(tmp_path, x, folders):
    """Predict in a process with an empty working folder: without the script, the data and the modules of this test."""
    empty = tmp_path / "empty"
    empty.mkdir()
    numpy.save(tmp_path / "x.npy", x.numpy())
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "x.npy"), *map(str, folders)]
    subprocess.run(command, cwd=empty, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, check=True)
    assert [p.name for p in empty.iterdir()] == ["found.npz"]
    with numpy.load(empty / "found.npz") as found:
        return {folder: (found[f"{folder} predict"], found[f"{folder} probabilities"]) for folder in folders}


class Own(nn.Module):
    """A module of a user, which no other process can import."""

    def __init__(self, features=8):
        super().__init__()
        self.layer, self.features = nn.Linear(6, features), features

    def forward(self, x):
        return torch.relu(self.layer(x)) * torch.arange(1.0, 1 + self.features)


def named_trainer(**options):
    torch.manual_seed(0)
    encoder, _ = network(batch_norm=True)
    head = heads.Classifier(encoder, NAMES)
    made = Trainer(encoder, [supervised(head, on="source")], streams(), progress=False, device="cpu", **options)
    return made.fit(6), head


def many_models(tmp_path):
    torch.manual_seed(0)
    averaged, head = named_trainer(ema=0.5, log=tmp_path / "run")
    yield "trainer.model", averaged.model(head)
    yield "checkpoint", Model.from_checkpoint(tmp_path / "run")
    bf16, head = named_trainer(precision="bf16")
    yield "bf16", bf16.model(head)
    for learn in ("probe", "full", 1):
        encoder = encoders.wrap(nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 8)), 8)
        yield f"transfer {learn}", inductive.transfer(encoder, cloud(30), learn, classes=NAMES, epochs=2)
    encoder, _ = network()
    encoders.lora(encoder, 2)
    nn.init.normal_(encoder.body[0].lora_B)
    yield "lora", inductive.transfer(encoder, cloud(30), "adapters", classes=NAMES, epochs=2)
    encoder = encoders.wrap(Own(), 8)
    yield "own module", inductive.transfer(encoder, cloud(30), "full", classes=NAMES, epochs=2)
    yield "numbers", inductive.transfer(encoder, cloud(30), "probe", classes=3)
    x = cloud(4).tensors[0]
    yield "regressor", Model(network()[0], heads.Regressor(8, 2), inputs=x)
    yield "labels", Model(network()[0], heads.MultiLabel(8, 3), inputs=x)
    yield "one against all", Model(network()[0], heads.OneVsAll(8, NAMES), inputs=x)
    yield "double", Model(*(part.double() for part in network()), inputs=x.double())


def test_another_process_gives_the_same_names_and_probabilities(tmp_path):
    x, wanted = cloud(21, seed=9).tensors[0], {}
    for name, model in many_models(tmp_path):
        if name == "double":
            continue
        folder = str(model.save(tmp_path / name))
        probable = model.outputs(x).numpy() if model.names is None else model.probabilities(x)
        wanted[folder] = (numpy.array(model.predict(x)), probable)
    found = elsewhere(tmp_path, x, list(wanted))
    for folder, (names, probabilities) in wanted.items():
        assert found[folder][0].dtype == names.dtype and (found[folder][0] == names).all(), folder
        numpy.testing.assert_allclose(found[folder][1], probabilities, rtol=0, atol=1e-6, err_msg=folder)
    assert set(wanted[str(tmp_path / "trainer.model")][0]) <= set(NAMES)
    assert not list(tmp_path.rglob("*.pkl")) and (tmp_path / "own module" / "encoder.pt2").exists()


def test_a_model_in_double_precision_keeps_it(tmp_path):
    model = dict(many_models(tmp_path))["double"]
    x = cloud(5, dtype=torch.float64).tensors[0]
    again = Model.load(model.save(tmp_path / "model"))
    assert again.outputs(x).dtype == torch.float64 and torch.equal(again.outputs(x), model.outputs(x))


# ---- where models come from ----


def test_a_trainer_gives_a_copy_with_the_weights_of_its_evaluation():
    made, head = named_trainer(ema=0.5)
    model, test = made.model(head), cloud(60, seed=5)
    assert torch.equal(model.outputs(test), made.predict(head, test).outputs)
    assert model.evaluate(test) == made.evaluate(head, test)
    raw = made.network.get_submodule("encoder")(test.tensors[0])
    assert not torch.allclose(model.encoder(test.tensors[0]), raw), "averaged, not raw, weights"
    before = model.probabilities(test)
    made.fit(8)
    assert (model.probabilities(test) == before).all() and not model.encoder.training


def test_a_checkpoint_gives_the_averaged_model(tmp_path):
    made, head = named_trainer(ema=0.5, log=tmp_path / "run")
    x = cloud(20, seed=4).tensors[0]
    wanted = made.model(head).probabilities(x)
    path = made.save(tmp_path / "checkpoint")
    for folder in (tmp_path / "run", tmp_path / "run" / "checkpoints", path):
        found = Model.from_checkpoint(folder)
        assert (found.probabilities(x) == wanted).all() and found.names == NAMES
    assert (Model.from_checkpoint(path, "supervised_source").probabilities(x) == wanted).all()
    other, _ = network(batch_norm=True, seed=3)
    own = Model.from_checkpoint(path, heads.Classifier(8, ["x", "y", "z"]), encoder=other)
    assert (own.probabilities(x) == wanted).all() and set(own.predict(x)) <= {"x", "y", "z"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "dann"}, r"one of the terms \['supervised_source'\]"),
        ({"encoder": nn.Linear(6, 8)}, "must have the same tensors"),
        ({"head": heads.Classifier(4, 3)}, "must have the same tensors"),
    ],
)
def test_bad_checkpoints(tmp_path, arguments, message):
    made, _ = trainer()
    path = made.fit(1).save(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=message):
        Model.from_checkpoint(path, **arguments)


def test_a_checkpoint_of_a_module_of_the_user_asks_for_it(tmp_path):
    torch.manual_seed(0)
    encoder = encoders.wrap(Own(), 8)
    head, second = heads.Classifier(8, 3), heads.Regressor(8)
    terms = [
        supervised(head, on="source"),
        Term("size", lambda s: s.output(second, "source").square().mean(), modules=[second]),
    ]
    made = Trainer(encoder, terms, streams(), progress=False, device="cpu").fit(2)
    path, x = made.save(tmp_path / "checkpoint"), cloud(9).tensors[0]
    with pytest.raises(ValueError, match="one head, got None"):
        Model.from_checkpoint(path)
    with pytest.raises(ValueError, match="does not describe its encoder .Encoder: .*give a module of the same"):
        Model.from_checkpoint(path, "supervised_source")
    for part in ("supervised_source", heads.Classifier(8, 3)):
        found = Model.from_checkpoint(path, part, encoder=encoders.wrap(Own(), 8))
        assert torch.equal(found.outputs(x), made.predict(head, TensorDataset(x)).outputs)
    assert Model.from_checkpoint(path, "size", encoder=encoders.wrap(Own(), 8)).predict(x).shape == (9,)
    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        Model.from_checkpoint(tmp_path / "nothing")


def test_one_of_several_encoders(tmp_path):
    torch.manual_seed(0)
    both = {"left": network()[0], "right": network(seed=1)[0]}
    tops = {name: heads.Classifier(8, NAMES) for name in both}
    data = {name: Stream(cloud(seed=n), 12, encoder=name) for n, name in enumerate(both)}
    terms = [supervised(tops[name], on=name) for name in both]
    made, x = Trainer(both, terms, data, progress=False, device="cpu").fit(2), cloud(9)
    path = made.save(tmp_path / "checkpoint")
    for name in both:
        wanted = made.predict(tops[name], x, name).outputs
        assert torch.equal(made.model(tops[name], name).outputs(x), wanted)
        assert torch.equal(Model.from_checkpoint(path, f"supervised_{name}", stream=name).outputs(x), wanted)
    with pytest.raises(ValueError, match=r"`stream` must be one of \['left', 'right'\], got None"):
        Model.from_checkpoint(path, "supervised_left")


def test_a_probe_with_its_encoder_is_a_model():
    encoder, _ = network()
    train = cloud(60)
    model = inductive.probe(*engine.features(encoder, train).tensors, NAMES).model(encoder)
    assert (model.predict(train) == numpy.array(NAMES)[train.tensors[1]]).mean() > 0.7
    assert model.card["target label seen"] == "yes"


# ---- architectures ----


def bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=8,
    )  # fmt: skip
    return encoders.from_transformers(transformers.BertModel(config), pool="first")


def timm_model():
    pytest.importorskip("timm")
    return encoders.from_timm("resnet10t")


def with_lora(encoder, **options):
    encoders.lora(encoder, 2, **options)
    for name, p in encoder.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.1)
    return encoder


def with_ia3(encoder):
    encoders.ia3(encoder, ["0"], inputs=["2"])
    nn.init.uniform_(encoder.body[2].ia3_factor)
    return encoder


def words():
    vectors = encoders.WordVectors(["a", "b", "c"], torch.randn(3, 4), oov="hash")
    return vectors.encoder(tuned=True, output="tokens")


def attention():
    layer = nn.Sequential(nn.Conv1d(6, 8, 1), nn.GELU(approximate="tanh"), nn.Flatten(), nn.Linear(8, 8, bias=False))
    return encoders.wrap(nn.Sequential(nn.Unflatten(1, (6, 1)), layer, nn.LayerNorm(8, bias=False), nn.Identity()), 8)


IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
ROW = IMAGE[0, 0, :2, :6]
ENCODERS = {
    "small_conv": (lambda: encoders.small_conv(3, dim=16, width=4), IMAGE),
    "small_gru": (lambda: encoders.small_gru(5, 4, dim=6, dropout=0.1), torch.arange(1, 13).view(2, 2, 3) % 4),
    "columns": (lambda: encoders.columns(6, dim=8, heads=2), ROW),
    "cifar_resnet": (lambda: encoders.cifar_resnet(8), IMAGE),
    "mobilenet": (lambda: encoders.mobilenet(1 / 16), IMAGE),
    "torchvision": (lambda: encoders.load("resnet18"), IMAGE),
    "timm": (timm_model, IMAGE),
    "transformers": (bert, {"input_ids": torch.arange(10).view(2, 5), "attention_mask": torch.ones(2, 5).long()}),
    "word vectors": (words, torch.arange(6).view(2, 3)),
    "layers of torch": (attention, ROW),
    "at a layer": (lambda: encoders.at_layer(encoders.load("resnet18"), "layer2", example=IMAGE, output="map"), IMAGE),
    "at a layer, own": (lambda: encoders.at_layer(network()[0], "0", example=ROW), ROW),
    "lora": (lambda: with_lora(encoders.cifar_resnet(8), dropout=0.1, alpha=3.0), IMAGE),
    "lora at a layer": (lambda: with_lora(encoders.at_layer(encoders.cifar_resnet(8), "layer2", example=IMAGE)), IMAGE),
    "lora of attention": (lambda: with_lora(encoders.load("vit_b_32")), torch.randn(2, 3, 224, 224)),
    "ia3": (lambda: with_ia3(encoders.wrap(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4)), 4)), ROW),
    "norm over ranks": (lambda: encoders.synchronize_batch_norm(encoders.cifar_resnet(8)), IMAGE),
    "norm over ranks, own": (lambda: encoders.synchronize_batch_norm(network(batch_norm=True)[0]), ROW),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_comes_back_from_its_description(name):
    made, x = ENCODERS[name]
    torch.manual_seed(1)
    encoder = made().eval()
    state = torch.get_rng_state()
    plain = json.loads(json.dumps(recipes.describe_module(encoder)))
    again = recipes.make_module(plain)
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        again.load_state_dict(encoder.state_dict())
        assert torch.equal(again(x), encoder(x))
    assert again.dim == encoder.dim and list(again.layers) == list(encoder.layers)
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in encoder.parameters()]


def test_what_is_frozen_stays_frozen(tmp_path):
    encoder = inductive.strategy(encoders.cifar_resnet(8), 1)
    model = Model(encoder, heads.Classifier(64, 3), inputs=IMAGE)
    again = Model.load(model.save(tmp_path / "model")).encoder
    assert again.kept_in_eval == encoder.kept_in_eval and len(again.kept_in_eval) > 3
    learning = {n for n, p in again.named_parameters() if p.requires_grad}
    assert learning == {n for n, p in encoder.named_parameters() if p.requires_grad} and 0 < len(learning) < 9
    again.train()
    assert not again.body.bn1.training and again.body.layer3.training


HEADS = {
    "classifier": lambda: heads.Classifier(8, NAMES, dropout=0.2),
    "labels": lambda: heads.MultiLabel(8, ["red", "big"]),
    "regressor": lambda: heads.Regressor(8, 3, dropout=0.1),
    "one against all": lambda: heads.OneVsAll(8, NAMES),
    "bottleneck": lambda: heads.WithTaskLayers(heads.Bottleneck(8, hidden=4), heads.Classifier(8, 3)),
    "attention": lambda: heads.WithTaskLayers(heads.Attention(8, hidden=4), heads.Regressor(8)),
    "experts": lambda: heads.WithTaskLayers(heads.Gated(heads.Experts(8, 2, hidden=4), own=1), heads.Classifier(8, 3)),
    "wrapped": lambda: heads.wrap(nn.Linear(8, 3), loss=F.cross_entropy, names=NAMES),
    "wrapped module": lambda: heads.wrap(nn.Linear(8, 1), loss=nn.HuberLoss()),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_comes_back_from_its_description(name, tmp_path):
    torch.manual_seed(2)
    encoder, _ = network()
    model, x = Model(encoder, HEADS[name](), inputs=ROW), cloud(7).tensors[0]
    again = Model.load(model.save(tmp_path / "model"))
    assert type(again.head) is type(model.head) and again.names == model.names
    assert torch.equal(again.outputs(x), model.outputs(x)) and repr(again.head) == repr(model.head)
    y = {"labels": torch.zeros(7, 2), "regressor": torch.zeros(7, 3), "attention": torch.zeros(7)}
    y["wrapped module"] = torch.zeros(7, 1)
    labels = TensorDataset(x, y.get(name, cloud(7).tensors[1]))
    assert again.evaluate(labels) == model.evaluate(labels)


def test_functions_of_the_user_are_named_and_lost(tmp_path):
    def mine(output, labels):
        return F.cross_entropy(output, labels)

    model = Model(network()[0], heads.wrap(nn.Linear(8, 3), loss=mine, names=NAMES), inputs=ROW)
    again = Model.load(model.save(tmp_path / "model"))
    assert (again.predict(cloud(9)) == model.predict(cloud(9))).all()
    with pytest.raises(TypeError, match=r"the function `.*mine` was not saved, because a function is code"):
        again.evaluate(cloud(9))


# ---- refusals ----


class OwnHead(nn.Module):
    names, classes = NAMES, 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, features):
        return self.layer(features)

    def loss(self, output, labels):
        return F.cross_entropy(output, labels)

    def measure(self, output, labels):
        return output.argmax(1) == labels

    def score(self, measures, units=None):
        return heads.proportion("accuracy", measures, units=units)

    def check(self, labels):
        pass


class Deciding(OwnHead):
    def predict(self, output):
        return output.argmin(1)


class Untraceable(Own):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


def for_tasks(encoder):
    encoders.task_lora(encoder, ["a", "b"])
    return encoder


def merged(encoder):
    encoders.merge(with_lora(encoder))
    return encoder


@pytest.mark.parametrize(
    ("encoder", "head", "inputs", "message"),
    [
        (lambda: encoders.wrap(Own(), 8), OwnHead, None, "the encoder .*the form of the inputs is not known"),
        (lambda: encoders.wrap(Untraceable(), 8), OwnHead, ROW, "the encoder .*torch.export cannot trace"),
        (lambda: network()[0], Deciding, ROW, "the head .Deciding. .*`predict` or `probabilities` of its own"),
        (lambda: for_tasks(network()[0]), OwnHead, ROW, r"encoders.single_task\(encoder, stream\)"),
        (lambda: merged(network()[0]), OwnHead, ROW, r"`body.0`: call `encoders.unmerge\(encoder\)` first"),
        (
            lambda: encoders.callable(lambda x: x[:, [0] * 8], 8, name="first", fingerprint="1"),
            OwnHead, ROW, "the encoder .*Save the weights alone",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, encoder, head, inputs, message):
    made, top = encoder(), head()
    stream = "a" if hasattr(made, "announce_rows") else None
    model = Model(made, top, inputs=inputs, stream=stream)
    with pytest.raises(TypeError, match=message) as error:
        model.save(tmp_path / "model")
    assert "architecture=False" in str(error.value) and not list(tmp_path.iterdir())
    model.save(tmp_path / "model", architecture=False)
    with pytest.raises(ValueError, match="was saved without its architecture: give it"):
        Model.load(tmp_path / "model")
    again = Model.load(tmp_path / "model", encoder=encoder(), head=head())
    assert torch.equal(again.outputs(cloud(9)), model.outputs(cloud(9)))


def test_a_head_of_the_user_predicts_names_and_says_what_it_lost(tmp_path):
    model = Model(network()[0], OwnHead(), inputs=ROW)
    again = Model.load(model.save(tmp_path / "model"))
    assert (again.predict(cloud(9)) == model.predict(cloud(9))).all() and again.predict(cloud(9)).dtype.kind == "U"
    numpy.testing.assert_allclose(again.probabilities(cloud(9)), model.probabilities(cloud(9)), atol=1e-6)
    with pytest.raises(TypeError, match="of the head OwnHead is code"):
        again.evaluate(cloud(9))
    assert Model.load(tmp_path / "model", head=OwnHead()).evaluate(cloud(9)) == model.evaluate(cloud(9))
    twice = Model.load(again.save(tmp_path / "again"))
    assert torch.equal(twice.outputs(cloud(9)), again.outputs(cloud(9)))


def test_a_changed_layer_is_not_saved_as_the_layer_it_was(tmp_path):
    encoder = encoders.cifar_resnet(8)
    encoder.body.conv1.stride = (2, 2)
    model = Model(encoder, heads.Classifier(64, 3), inputs=IMAGE)
    again = Model.load(model.save(tmp_path / "model"))
    torch.testing.assert_close(again.outputs(IMAGE), model.outputs(IMAGE), rtol=1e-5, atol=1e-6)
    assert (tmp_path / "model" / "encoder.pt2").exists()

    encoder = encoders.small_conv()
    inner = encoder.body.features[1]
    inner.forward = lambda x: 2 * F.linear(x, inner.weight, inner.bias)  # what no structure shows
    model = Model(encoder, heads.Classifier(128, 3), inputs=IMAGE)
    again = Model.load(model.save(tmp_path / "other"))
    torch.testing.assert_close(again.outputs(IMAGE), model.outputs(IMAGE), rtol=1e-5, atol=1e-6)


def saved(tmp_path) -> Path:
    return Model(*network(), inputs=ROW).save(tmp_path / "model")


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
@pytest.mark.parametrize("how", ["torn", "missing"])
def test_a_torn_folder(tmp_path, name, how):
    file = saved(tmp_path) / name
    if how == "torn":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
    with pytest.raises(store.Torn, match=f"{name}.*is torn: expected .*Save the model again"):
        Model.load(file.parent)


def test_foreign_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of a model"):
        Model.load(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    with pytest.raises(store.Foreign, match="`Model.load` expects a folder that `Model.save` wrote"):
        Model.load(tmp_path / "other")
    made, _ = trainer()
    with pytest.raises(store.Foreign, match="for a checkpoint take `Model.from_checkpoint`"):
        Model.load(made.fit(1).save(tmp_path / "checkpoint"))
    with pytest.raises(engine.CheckpointError, match="not a checkpoint"):
        Model.from_checkpoint(saved(tmp_path))
    with pytest.raises(FileExistsError, match="exists already"):
        Model(*network(), inputs=ROW).save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("my own words")
    assert Model.load(tmp_path / "model").names == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["os.system", "torch.load", "adapt.store.seal", "adapt.encoders.weights.load_file"])
def test_a_description_names_no_other_code(name):
    with pytest.raises(TypeError, match="lies outside of"):
        recipes.make({"make": name, "arguments": {}})
    with pytest.raises(TypeError, match="cannot be imported here"):
        recipes.make({"function": "torch.nn.absent"})


def test_a_program_with_a_pickle_is_refused(tmp_path):
    import zipfile

    folder = Model(encoders.wrap(Own(), 8), OwnHead(), inputs=ROW).save(tmp_path / "model")
    with zipfile.ZipFile(folder / "encoder.pt2") as old, zipfile.ZipFile(tmp_path / "new.pt2", "w") as new:
        for part in old.namelist():
            new.writestr(part, b"cos\nsystem\n" if "sample_inputs" in part else old.read(part))
    with pytest.raises(ValueError, match="pickled parts .*could run code"):
        read_program(tmp_path / "new.pt2")


# ---- answers ----


def test_predictions_are_in_the_words_of_the_user():
    encoder, x = network()[0], cloud(9).tensors[0]
    named = Model(encoder, heads.Classifier(8, NAMES))
    assert named.predict(x).dtype.kind == "U" and named.predict(x).shape == (9,)
    assert named.predict(x).tolist() == [NAMES[k] for k in named.outputs(x).argmax(1)]
    assert named.probabilities(x) == pytest.approx(named.outputs(x).softmax(1).numpy())
    for same in (x.numpy(), x.double().numpy(), TensorDataset(x), cloud(9), list(x), x):
        assert named.predict(same, batch_size=4).tolist() == named.predict(x).tolist()
    assert Model(encoder, heads.Classifier(8, 3)).predict(x).dtype == numpy.int64
    labels = Model(encoder, heads.MultiLabel(8, ["red", "big"]))
    on = labels.probabilities(x) > 0.5
    assert labels.predict(x) == [[n for n, there in zip(["red", "big"], row, strict=True) if there] for row in on]
    assert Model(encoder, heads.MultiLabel(8, 2)).predict(x).dtype == bool
    assert Model(encoder, heads.Regressor(8)).predict(x).shape == (9,)
    with pytest.raises(TypeError, match="`probabilities` needs a head of classes or labels, got a Regressor"):
        Model(encoder, heads.Regressor(8)).probabilities(x)
    unknown = Model(encoder, heads.OneVsAll(8, NAMES))
    assert set(unknown.predict(torch.randn(200, 6) * 5)) <= {*NAMES, "unknown"}
    tokens = Model(nn.Identity(), heads.TokenClassifier(6, ["noun", "verb"]))
    assert tokens.predict(x.view(3, 3, 6)).shape == (3, 3) and tokens.probabilities(x.view(3, 3, 6)).shape == (3, 3, 2)


def test_pixels_and_trees():
    x = torch.randn(5, 3, 8, 8)
    pixels = heads.wrap(nn.Conv2d(3, 2, 1), loss=F.cross_entropy, names=["road", "other"])
    model = Model(nn.Identity(), pixels, inputs=x)
    predicted = model.predict(x, batch_size=2)  # numbers: a text for each pixel needs ten times the memory
    assert predicted.shape == (5, 8, 8) and set(predicted.ravel()) == {0, 1} and model.names == ["road", "other"]
    assert model.probabilities(x).shape == (5, 2, 8, 8)

    class Boxes(nn.Module):
        def forward(self, features):
            return {"boxes": [f[0, : 1 + i] for i, f in enumerate(features)], "score": features.mean((1, 2, 3))}

    rows = Model(nn.Identity(), heads.wrap(Boxes(), loss=F.mse_loss)).predict(x)
    assert [len(row["boxes"]) for row in rows] == [1, 2, 3, 4, 5] and isinstance(rows[0]["boxes"], numpy.ndarray)
    assert rows[4]["score"] == pytest.approx(x[4].mean().item())


def test_trees_of_inputs(tmp_path):
    inputs = {"input_ids": torch.arange(30).view(6, 5) % 20, "attention_mask": torch.ones(6, 5).long()}
    model = Model(bert(), heads.Classifier(8, NAMES), inputs=inputs)
    again = Model.load(model.save(tmp_path / "model"))
    for same in (inputs, {k: v.numpy() for k, v in inputs.items()}, encoders.Tokens(inputs)):
        numpy.testing.assert_allclose(again.probabilities(same, batch_size=4), model.probabilities(inputs), atol=1e-6)


def test_rows_of_another_form_are_refused():
    model = Model(encoders.small_conv(), heads.Classifier(128, 3), inputs=IMAGE)
    with pytest.raises(ValueError, match=r"like \(n, 3, 32, 32\), got \(3, 32, 32\): one row alone is `x\[None\]`"):
        model.predict(IMAGE[0])
    with pytest.raises(ValueError, match="no rows"):
        model.predict(IMAGE[:0])
    with pytest.raises(TypeError, match="knows no preparation"):
        model.predict("photo.png")
    with pytest.raises(TypeError, match="must be a batch, a data set or raw items, got a int"):
        model.predict(3)
    with pytest.raises(TypeError, match="`preparation` must be a data set that knows its preparation"):
        Model(*network(), preparation=cloud(3))
    with pytest.raises(ValueError, match="`precision` must be"):
        Model(*network(), precision="fp16")


def photos(folder: Path, seed=0) -> Path:
    from PIL import Image

    pixels = numpy.random.default_rng(seed)
    for number, name in enumerate(["cat", "dog"] * 6):
        path = folder / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.integers(0, 255, (40, 30, 3), dtype=numpy.uint8)).save(path)
    return folder


def test_paths_of_images_are_predicted_in_a_new_process(tmp_path):
    from torchvision.models import ResNet18_Weights
    from torchvision.transforms import v2

    scale = v2.Compose([v2.Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)), v2.ToDtype(torch.float32, scale=True)])
    for number, prepare in enumerate((None, scale, ResNet18_Weights.DEFAULT.transforms(crop_size=28, resize_size=32))):
        data = datasets.images(photos(tmp_path / f"photos{number}"), size=28, prepare=prepare)
        encoder = encoders.small_conv()
        head = heads.Classifier(encoder, data.names)
        part = Subset(data, list(range(8)))
        made = Trainer(encoder, [supervised(head, on="a")], {"a": Stream(part, 4)}, progress=False, device="cpu").fit(2)
        model, paths = made.model(head), data.paths
        again = Model.load(model.save(tmp_path / f"model{number}"))
        wanted = model.predict(data)
        assert wanted.tolist() == again.predict(paths).tolist() == again.predict(tmp_path / f"photos{number}").tolist()
        assert again.predict(paths[3]).tolist() == [wanted[3]] and again.predict(str(paths[3])).dtype.kind == "U"
        numpy.testing.assert_array_equal(again.probabilities(paths), model.probabilities(data))
        with pytest.raises(FileNotFoundError, match="expected images at"):
            again.predict("no.png")


def test_a_preparation_with_a_function_of_the_user(tmp_path):
    def brighter(image):
        return image * 2

    data = datasets.images(photos(tmp_path / "photos"), size=28, prepare=brighter)
    encoder = encoders.small_conv()
    model = Model(encoder, heads.Classifier(encoder, data.names), preparation=data, inputs=data[0][0][None])
    again = Model.load(model.save(tmp_path / "model"))
    with pytest.raises(ValueError, match=r"row 0 .*brighter` was not saved.*Model.load\(folder, preparation="):
        again.predict(data.paths)
    assert "with a function that is not saved" in (tmp_path / "model" / "README.md").read_text()
    known = Model.load(tmp_path / "model", preparation=data)
    assert known.predict(data.paths).tolist() == model.predict(data).tolist()


def test_raw_tables_are_predicted_with_the_statistics_of_training(tmp_path):
    rows = {"age": [30.0, 50, 41, 77, 12, 63], "town": ["Ulm", "Bonn"] * 3, "ill": ["no", "yes"] * 3}
    train = datasets.table(rows, "ill")
    encoder = encoders.wrap(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), 4)
    model = inductive.transfer(encoder, train, "probe", classes=train.names)
    again = Model.load(model.save(tmp_path / "model"))
    raw = {name: rows[name] for name in ("age", "town")}
    assert again.predict(raw).tolist() == model.predict(train).tolist()
    assert again.predict({"age": 77, "town": "Bonn"}).tolist() == [model.predict(train)[3]]
    (tmp_path / "new.csv").write_text("age,town\n30.0,Ulm\n77,Bonn\n")
    assert again.predict(tmp_path / "new.csv").tolist() == model.predict(train)[[0, 3]].tolist()
    numpy.testing.assert_array_equal(again.probabilities(raw), model.probabilities(train))
    other = datasets.table({**raw, "age": [1.0, 2, 3, 4, 5, 6]}, None)
    with pytest.raises(ValueError, match="prepared with other statistics .*statistics=model.preparation"):
        again.predict(other)
    fitting = datasets.table(rows, "ill", statistics=again.preparation)
    assert again.evaluate(fitting).n == 6


def test_a_data_set_that_numbers_its_classes_otherwise_is_refused():
    x, y = cloud(6).tensors
    model = Model(network()[0], heads.Classifier(8, NAMES))
    there = datasets.arrays(x, [NAMES[k] for k in y], names=NAMES)
    assert model.evaluate(there).n == 6
    with pytest.raises(ValueError, match=r"numbers the classes \['eve', 'bob', 'ada'\].*names=model.names"):
        model.evaluate(datasets.arrays(x, [NAMES[k] for k in y], names=NAMES[::-1]))
    with pytest.raises(ValueError, match="inputs without labels"):
        model.evaluate(TensorDataset(x))


def test_a_run_that_treats_streams_differently_has_a_model_of_one_stream():
    encoder, _ = network()
    encoders.task_lora(encoder, ["source", "target"], rank=2)
    head = heads.Classifier(8, 3)
    terms = [supervised(head, on="source"), domain.dan()]  # each stream is in a term: each adapter learns
    made = Trainer(encoder, terms, streams(), progress=False, device="cpu").fit(3)
    x = cloud(9)
    for name in ("source", "target"):
        model = made.model(head, name)
        assert torch.equal(model.outputs(x), made.predict(head, x, name).outputs)
        assert torch.equal(model.outputs(x.tensors[0]), model.outputs(x))


# ---- the card ----


@pytest.mark.parametrize(
    ("term", "labels", "seen"),
    [
        (lambda head: supervised(head, on="target"), True, "yes"),
        (lambda head: domain.dan(), False, "no"),
        (lambda head: domain.ccsa(target="target"), True, "unknown"),
    ],
)
def test_the_card_says_whether_a_target_label_was_seen(tmp_path, term, labels, seen):
    encoder, head = network()
    sources = {"source": Stream(cloud(), 12), "target": Stream(cloud(seed=1), 8, labels=labels)}
    made = Trainer(encoder, [supervised(head, on="source"), term(head)], sources, progress=False, device="cpu").fit(1)
    model = made.model(head)
    assert model.card["target label seen"].startswith(seen)
    score = model.evaluate(cloud(30, seed=7))
    model.save(tmp_path / "model")
    page = (tmp_path / "model" / "README.md").read_text()
    assert f"A target label was seen in training: {seen}" in page and str(score) in page
    assert "Licence: unknown" in page and f"| adapt | {adapt.__version__} |" in page
    assert Model.load(tmp_path / "model").card == model.card


def test_a_model_of_a_run_computes_in_the_precision_of_the_run():
    made, head = trainer(precision="bf16")
    found = made.fit(1).model(head).outputs(cloud(9))
    assert torch.equal(found, made.predict(head, cloud(9)).outputs)
    in_float32 = Model(made.encoder, head, inputs=cloud(1).tensors[0]).outputs(cloud(9))
    assert not torch.equal(found, in_float32)


def test_a_run_without_a_stream_of_that_name_says_unknown():
    encoder, head = network()
    made = Trainer(encoder, [supervised(head, on="a")], {"a": Stream(cloud(), 12)}, progress=False, device="cpu").fit(1)
    assert made.model(head).card["target label seen"] == "unknown: no stream has the name target"


def test_the_page_of_a_probe_says_that_labels_of_the_target_were_learned_from(tmp_path):
    encoder, _ = network()
    x, y = cloud().tensors
    encoder.eval()
    model = inductive.probe(encoder(x).detach(), y, NAMES).model(encoder, inputs=x[:1])
    page = (model.save(tmp_path / "model") / "README.md").read_text()
    assert "A target label was seen in training: yes" in page
    assert "| target | not known | learned from, by the probe |" in page


def test_a_compiled_encoder_and_the_gradients_of_tasks_leave_no_trace(tmp_path):
    from adapt import multitask

    encoder, head = network()
    second = heads.Classifier(8, 3)
    terms = [multitask.task("one", head, on="source"), multitask.task("two", second, on="source")]
    made = Trainer(
        encoder, terms, {"source": Stream(cloud(), 12)}, balance=multitask.imtl_g(at="parameters"), progress=False,
        device="cpu",
    ).fit(2)  # fmt: skip
    model = made.model(head)
    assert not any(part._forward_hooks for part in model.encoder.modules())
    again = Model.load(model.save(tmp_path / "model"))
    assert torch.equal(again.outputs(cloud(9)), made.predict(head, cloud(9)).outputs)
    shutil.rmtree(tmp_path / "model")


@pytest.mark.parametrize("format", ["torch", "onnx"])
@pytest.mark.parametrize("kind", ["plain", "own module", "images with batch norm"])
def test_an_exported_program_computes_the_same_for_any_number_of_rows(tmp_path, format, kind):
    if kind == "images with batch norm":
        model = Model(
            encoders.small_conv(),
            heads.Classifier(encoders.small_conv().dim, ["a", "b"]),
            inputs=torch.rand(2, 3, 32, 32),
        )
        x = torch.rand(11, 3, 32, 32)
    else:
        body = nn.Sequential(nn.Linear(2, 8), nn.Tanh()) if kind == "plain" else Squared()
        model = Model(encoders.Encoder(body, 8), heads.Classifier(8, ["a", "b"]), inputs=torch.rand(2, 2))
        x = torch.randn(11, 2)
    path = model.export(tmp_path / f"model.{format}", format=format)
    for rows in (1, 4, 11):
        if format == "torch":
            found = torch.export.load(path).module()(x[:rows])
        else:
            onnxruntime = pytest.importorskip("onnxruntime")
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x[:rows].numpy()})[0])
        torch.testing.assert_close(found, model.outputs(x[:rows]), rtol=1e-5, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


class Squared(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 8)

    def forward(self, x):
        return self.linear(x).square() + x.mean(1, keepdim=True)


class Branches(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_a_model_that_cannot_be_exported_leaves_no_file(tmp_path):
    model = Model(encoders.Encoder(Branches(), 2), heads.Classifier(2, 2), inputs=torch.rand(2, 2))
    with pytest.raises(TypeError, match="torch.export cannot trace"):
        model.export(tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="`format` must be 'torch' or 'onnx', got 'tflite'"):
        model.export(tmp_path / "model.pt2", format="tflite")
    with pytest.raises(ValueError, match="form of the inputs is not known"):
        Model(encoders.Encoder(nn.Identity(), 2), heads.Classifier(2, 2)).export(tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def hostile(folder, change):
    """Change the description of a saved model by hand, and seal the folder again."""
    plain = json.loads((folder / "model.json").read_text())
    change(plain)
    (folder / "model.json").write_text(json.dumps(plain))
    (folder / store.MANIFEST).unlink()
    store.seal(folder, model_folder.FORMAT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain["head"]["base"]["arguments"].update(classes=10**12), "needs .* bytes of memory"),
        (lambda plain: plain.pop("preparation"), "cannot be read as a model"),
        (lambda plain: plain["encoder"].pop("base"), "cannot be read as a model"),
    ],
)
def test_a_hostile_description_is_refused_before_memory_is_taken(change, message, tmp_path):
    trained, head = named_trainer()
    folder = trained.model(head).save(tmp_path / "model")
    hostile(folder, change)
    with pytest.raises(ValueError, match=message):
        Model.load(folder)
