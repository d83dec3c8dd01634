"""Encoders made of other libraries' models, small and random; MobileNet; an encoder in two."""

import copy

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, engine, heads, inductive


def bert(**options):
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=50, **options
    )
    torch.manual_seed(0)
    return transformers.BertModel(config)


def tokens():
    ids = torch.randint(1, 50, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(4, 7, dtype=torch.int64)
    mask[0, 4:], mask[1, :2] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("pool", ["mean", "first", "last", "tokens"])
def test_bert_is_pooled_over_what_the_mask_shows(pool):
    model, inputs = bert(), tokens()
    encoder = encoders.from_transformers(model, pool=pool).eval()
    states = model.eval()(**inputs).last_hidden_state
    rows = {
        "mean": [states[0, :4].mean(0), states[1, 2:].mean(0), states[2].mean(0)],
        "first": [states[0, 0], states[1, 0], states[2, 0]],
        "last": [states[0, 3], states[1, 6], states[2, 6]],
        "tokens": [states[0], states[1], states[2]],
    }[pool]
    torch.testing.assert_close(encoder(inputs)[:3], torch.stack(rows))
    assert list(encoder.layers) == ["model.embeddings", "model.encoder.layer.0", "model.encoder.layer.1"]
    assert encoder.dim == 16 and not [n for n, _ in encoder.named_parameters() if "pooler" in n]


def test_other_models_of_transformers():
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    made = {
        "roberta": transformers.RobertaModel(transformers.RobertaConfig(**small, vocab_size=50, max_position_embeddings=20)),
        "gpt2": transformers.GPT2Model(
            transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50, bos_token_id=1, eos_token_id=1)
        ),
        "ast": transformers.ASTModel(transformers.ASTConfig(**small, max_length=64, num_mel_bins=32)),
        "vit": transformers.ViTModel(transformers.ViTConfig(**small, image_size=32, patch_size=16)),
        "wav2vec2": transformers.Wav2Vec2Model(
            transformers.Wav2Vec2Config(
                **small, conv_dim=(8, 8), conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2,
                num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            )
        ),
    }  # fmt: skip
    inputs = {
        "roberta": tokens(), "gpt2": tokens(), "ast": torch.randn(4, 64, 32), "vit": torch.randn(4, 3, 32, 32),
        "wav2vec2": {"input_values": torch.randn(4, 400), "attention_mask": torch.tensor([[1] * 400] * 3 + [[1] * 200 + [0] * 200])},
    }  # fmt: skip
    for name, model in made.items():
        encoder = encoders.from_transformers(model).eval()
        out = encoder(inputs[name])
        assert out.shape == (4, 16) and out.isfinite().all(), name
        layers = list(encoder.layers)
        assert layers[-1].endswith("1") and layers[-2].endswith("0") and len(layers) >= 3, (name, layers)
        inductive.strategy(encoder, 1)
        inside = {n for n, p in encoder.named_parameters() if p.requires_grad}
        assert inside and all(n.startswith(f"body.{layers[-1]}.") or "layers.0." not in n for n in inside)


def test_wav2vec2_leaves_silence_out_of_the_mean():
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8), conv_stride=(5, 2),
        conv_kernel=(10, 3), num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    model = transformers.Wav2Vec2Model(config).eval()
    x, mask = torch.randn(2, 400), torch.ones(2, 400, dtype=torch.int64)
    mask[1, 200:] = 0
    states = model(x, attention_mask=mask).last_hidden_state
    frames = int(model._get_feat_extract_output_lengths(torch.tensor(200)))
    out = encoders.from_transformers(model)({"input_values": x, "attention_mask": mask})
    torch.testing.assert_close(out[1], states[1, :frames].mean(0))


def test_a_transformer_learns_in_the_trainer_and_with_adapters():
    data = encoders.Tokens(tokens(), torch.tensor([0, 1, 0, 1]))
    encoder = encoders.from_transformers(bert())
    adapted = encoders.lora(encoder, 2, only=["query", "value"])
    assert len(adapted) == 4
    inductive.strategy(encoder, "adapters")
    before = copy.deepcopy(encoder.state_dict())
    head = heads.Classifier(16, 2)
    Trainer(
        encoder, [adapt.supervised(head, on="texts")], {"texts": Stream(data, 4)}, progress=False, device="cpu",
        encoder_scale=inductive.layer_decay(encoder),
    ).fit(steps=2)  # fmt: skip
    changed = {n for n, v in encoder.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {f"{n}.lora_{part}" for n in adapted for part in "AB"}
    features = engine.features(encoder, data)
    assert features.tensors[0].shape == (4, 16) and torch.equal(features.tensors[1], data.labels)


def test_folders_of_transformers_are_read_and_nothing_is_downloaded(tmp_path):
    model = bert()
    model.save_pretrained(tmp_path / "bert")
    encoder, inputs = encoders.from_transformers(tmp_path / "bert").eval(), tokens()
    torch.testing.assert_close(encoder(inputs), encoders.from_transformers(model).eval()(inputs))
    with pytest.raises(FileNotFoundError, match="expected a folder"):
        encoders.from_transformers("bert-base-uncased")
    with pytest.raises(ValueError, match="`pool` must be one of"):
        encoders.from_transformers(model, pool="max")
    with pytest.raises(ValueError, match="to adapt .*GPT-2"):
        encoders.lora(nn.Sequential(nn.ReLU()))


class Letters:
    """A tokenizer in three lines: a letter is a token."""

    def __call__(self, texts, *, truncation, padding, max_length, return_tensors):
        rows = [[ord(c) % 49 + 1 for c in text][:max_length] for text in texts]
        ids = torch.tensor([row + [0] * (max_length - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def test_texts_become_rows():
    data = encoders.tokens(["ab", "cde"], Letters(), 4, torch.tensor([1, 0]))
    row, label = data[0]
    assert len(data) == 2 and int(label) == 1 and row["attention_mask"].tolist() == [1, 1, 0, 0]
    assert set(encoders.tokens(["ab"], Letters(), 4)[0]) == {"input_ids", "attention_mask"}
    with pytest.raises(ValueError, match="same rows"):
        encoders.Tokens({"input_ids": torch.zeros(2, 3)}, torch.zeros(3))


def test_sentence_transformers_learn():
    pytest.importorskip("sentence_transformers", reason="the extra `text`")
    from sentence_transformers import SentenceTransformer

    class Word(nn.Module):
        """What SentenceTransformer expects of its first module."""

        def __init__(self, model):
            super().__init__()
            self.auto_model = model

        def forward(self, features):
            states = self.auto_model(**{k: features[k] for k in ("input_ids", "attention_mask")}).last_hidden_state
            mask = features["attention_mask"][..., None].float()
            features["sentence_embedding"] = (states * mask).sum(1) / mask.sum(1)
            return features

        def get_sentence_embedding_dimension(self):
            return 16

        get_embedding_dimension = get_sentence_embedding_dimension

    model = SentenceTransformer(modules=[Word(bert())], device="cpu")
    encoder, inputs = encoders.from_sentence_transformers(model).eval(), tokens()
    assert encoder.dim == 16 and len(encoder.layers) == 3
    torch.testing.assert_close(encoder(inputs), encoders.from_transformers(model[0].auto_model).eval()(inputs))
    inductive.strategy(encoder, 1)
    assert all(".layer.1." in n for n, p in encoder.named_parameters() if p.requires_grad)
    with pytest.raises(FileNotFoundError, match="expected a sentence-transformers model"):
        encoders.from_sentence_transformers("all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("resnet10t", {}, 64), ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, 32),
     ("convnext_atto", {"depths": (1, 1, 1, 1)}, 64)],
)  # fmt: skip
def test_timm_models(tmp_path, name, options, size):
    timm = pytest.importorskip("timm", reason="the extra `vision`")
    torch.manual_seed(0)
    whole = timm.create_model(name, **options).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    encoder = encoders.from_timm(name, tmp_path / "whole.pth", **options).eval()
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert encoder(x).shape == (2, encoder.dim)
        torch.testing.assert_close(encoder.head(encoder(x)), whole(x), rtol=1e-4, atol=1e-5)
    assert len(encoder.layers) >= 3 and encoder.preprocess is not None and encoder.source is None
    encoders.lora(encoder, 2)
    with pytest.raises(ValueError, match="is no model of timm"):
        encoders.from_timm("resnet9000")


def keras_arrays(width=0.25):
    g = numpy.random.default_rng(0)
    encoder = encoders.mobilenet(width)
    arrays, before = {}, 3
    shapes = {n: p.shape for n, p in encoder.body.named_parameters() if n.endswith("conv.weight")}
    for name, shape in shapes.items():
        layer = (
            "conv1" if name.startswith("conv1") else f"conv_{'dw' if '.0.' in name else 'pw'}_{name.split('.')[0][5:]}"
        )
        out, inside, h, w = shape
        kernel = "depthwise_kernel" if "dw" in layer else "kernel"
        size = (h, w, out, 1) if "dw" in layer else (h, w, inside, out)
        arrays[f"{layer}.{kernel}"] = g.normal(0, 0.3, size).astype("float32")
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"{layer}_bn.{part}"] = g.uniform(0.5, 1.5, out).astype("float32")
    del before
    return arrays


def test_mobilenet_is_what_keras_computes(tmp_path):
    """Against scipy's correlations, written from the description of the layers."""
    from scipy.signal import correlate

    arrays = keras_arrays()
    numpy.savez(tmp_path / "w.npz", **arrays)
    encoder = encoders.mobilenet(0.25, tmp_path / "w.npz").eval()
    x = numpy.random.default_rng(1).uniform(-1, 1, (3, 32, 32))

    def norm(x, layer):
        g, b, m, v = (
            arrays[f"{layer}_bn.{p}"][:, None, None] for p in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return numpy.clip((x - m) / numpy.sqrt(v + 1e-3) * g + b, 0, 6)

    def pad(x, stride):
        return numpy.pad(x, ((0, 0), (1, 1), (1, 1)) if stride == 1 else ((0, 0), (0, 1), (0, 1)))

    k = arrays["conv1.kernel"]
    y = numpy.stack([sum(correlate(c, k[:, :, i, o], "valid") for i, c in enumerate(pad(x, 2))) for o in range(8)])
    y = norm(y[:, ::2, ::2], "conv1")
    for number in range(1, 14):
        stride = 2 if number in (2, 4, 6, 12) else 1
        k = arrays[f"conv_dw_{number}.depthwise_kernel"][..., 0]
        y = numpy.stack([correlate(c, k[:, :, i], "valid") for i, c in enumerate(pad(y, stride))])[
            :, ::stride, ::stride
        ]
        y = norm(y, f"conv_dw_{number}")
        y = norm(numpy.einsum("chw,co->ohw", y, arrays[f"conv_pw_{number}.kernel"][0, 0]), f"conv_pw_{number}")
    out = encoder(torch.from_numpy(x[None]).float())[0]
    torch.testing.assert_close(out.detach().double(), torch.from_numpy(y.mean((1, 2))).double(), rtol=1e-3, atol=1e-4)
    assert encoder.dim == 256 and len(encoder.layers) == 14
    with pytest.raises(ValueError, match="another shape"):
        encoders.mobilenet(0.5, tmp_path / "w.npz")


@pytest.mark.data
def test_real_mobilenet_weights_fit():
    from adapt.datasets import data_file

    encoder = encoders.mobilenet(0.25, data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz")).eval()
    with torch.no_grad():
        out = encoder(torch.zeros(1, 3, 96, 96))
    assert out.shape == (1, 256) and 0.1 < out.mean() < 5


def test_torchvision_encoders_keep_their_head(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    whole = resnet18(num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "r.pth")
    encoder = encoders.load("resnet18", tmp_path / "r.pth").eval()
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(encoder.head(encoder(x)), whole(x))
    assert encoders.load("resnet18").head is None, "a random head knows no classes"
    layers = list(encoders.load("vit_b_32").layers)
    assert layers[0] == "conv_proj" and len(layers) == 13 and layers[-1] == "encoder.layers.encoder_layer_11"


@pytest.mark.parametrize("after", ["conv1", "layer1", "layer2"])
def test_an_encoder_in_two(after):
    torch.manual_seed(0)
    encoder = encoders.cifar_resnet(8)
    inductive.strategy(encoder, list(encoder.layers)[list(encoder.layers).index(after) + 1 :])
    first, rest = encoders.split_at(encoder, after)
    x = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(rest.eval()(first(x)), encoder.eval()(x))
    assert list(rest.layers) == list(encoder.layers)[list(encoder.layers).index(after) + 1 :]
    # training the rest on kept features is training the encoder
    data = TensorDataset(x, torch.tensor([0, 1, 2, 0, 1, 2]))
    whole = copy.deepcopy(encoder)
    results = []
    for body, rows in ((whole, data), (rest, engine.features(first, data))):
        torch.manual_seed(1)
        head = heads.Classifier(64, 3)
        Trainer(
            body,
            [adapt.supervised(head, on="few")],
            {"few": Stream(rows, 6, shuffle=False)},
            progress=False,
            device="cpu",
        ).fit(steps=2)
        results.append(head.linear.weight)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(encoder.state_dict().values(), encoders.cifar_resnet(8).state_dict().values(), strict=True)
    )
    torch.testing.assert_close(
        encoder.body.layer3[0].conv1.weight, whole.body.layer3[0].conv1.weight, rtol=1e-3, atol=1e-5
    )


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.two(self.one(x)) + x


class Branch(Skip):
    def forward(self, x):
        return self.two(self.one(x)) if x.sum() > 0 else x


class Functional(Skip):
    def forward(self, x):
        return self.two(nn.functional.dropout(self.one(x), 0.5, self.training))


class Halved(nn.Module):
    """As stochastic depth: a branch on the mode inside a module that is no layer."""

    def forward(self, x):
        return 0.5 * x if self.training else x


class Depth(Skip):
    def __init__(self):
        super().__init__()
        self.halved = Halved()

    def forward(self, x):
        return self.two(self.halved(self.one(x)))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (Skip, "passes by layer `one`"),
        (Branch, "cannot be traced"),
        (Functional, "dropout.* is another step in training"),
        (Depth, "is another step in training"),
    ],
)
def test_encoders_that_cannot_be_cut(body, message):
    with pytest.raises(ValueError, match=message):
        encoders.split_at(encoders.Encoder(body(), 3), "one")
    with pytest.raises(ValueError, match="a layer before the last"):
        encoders.split_at(encoders.Encoder(body(), 3), "two")


def test_a_part_outside_of_the_layers_keeps_its_mode_on_several_ranks():
    body = encoders.synchronize_batch_norm(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)))
    encoder, x = encoders.Encoder(body, 2, layers=["0", "2"]).eval(), torch.randn(5, 3)
    first, rest = encoders.split_at(encoder, "0")
    torch.testing.assert_close(rest(first(x)), encoder(x))
    rest.train()(first(x))
    assert body[1].num_batches_tracked == 1 and body[1].running_mean.abs().sum() > 0


def test_an_encoder_that_ends_at_an_inner_layer():
    encoder, x = encoders.cifar_resnet(8).eval(), torch.randn(2, 3, 32, 32)
    body = encoder.body
    with torch.no_grad():
        inner = body.layer1(torch.relu(body.bn1(body.conv1(x))))
        ends = {
            level: encoders.at_layer(encoder, "layer1", example=x, output=level)
            for level in ("pooled", "map", "tokens")
        }
        assert {end.dim for end in ends.values()} == {16} and list(ends["map"].layers) == [
            "whole.conv1",
            "whole.layer1",
        ]
        torch.testing.assert_close(ends["map"](x), inner)
        torch.testing.assert_close(ends["pooled"](x), inner.mean((2, 3)))
        torch.testing.assert_close(ends["tokens"](x)[:, 5], inner[:, :, 0, 5])
    assert not body.layer1._forward_hooks
    last = encoders.at_layer(inductive.strategy(encoder, 1), "layer3", example=x)
    last(x).sum().backward()
    assert body.layer3[0].conv1.weight.grad is not None and "whole.layer1" in last.kept_in_eval
    text = encoders.at_layer(
        encoders.from_transformers(bert()), "model.encoder.layer.0", example=tokens(), output="tokens"
    )
    assert text(tokens()).shape == (4, 7, 16)
    for options, message in (({"layer": "layer9"}, "must be one of"), ({"output": "pyramid"}, "`output` must be")):
        with pytest.raises(ValueError, match=message):
            encoders.at_layer(encoder, **{"layer": "layer1", "example": x} | options)
    with pytest.raises(ValueError, match="has no output `map`"):
        encoders.at_layer(
            encoders.wrap(nn.Sequential(nn.Linear(3, 4)), 4), "0", example=torch.zeros(2, 3), output="map"
        )
