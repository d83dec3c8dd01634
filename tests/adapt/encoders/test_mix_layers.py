"""A learned mean of all layers, from the model and from kept states."""

import numpy
import pytest
import torch
from torch import nn

import adapt
from adapt import Model, Stream, Trainer, encoders, heads
from adapt.streams import collate

transformers = pytest.importorskip("transformers")


def model():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
        hidden_dropout_prob=0.1,
    )  # fmt: skip
    return encoders.mix_layers(encoders.from_transformers(transformers.BertModel(config), pool="tokens"))


def rows(labels=True):
    g = torch.Generator().manual_seed(1)
    ids = [torch.randint(1, 30, (n,), generator=g) for n in (5, 2, 7, 3, 5)]
    y = torch.randint(0, 4, (5, 6), generator=g) if labels else None
    return encoders.Tokens({"input_ids": ids, "attention_mask": [torch.ones_like(row) for row in ids]}, y)


def padded(data):
    return collate.pad()([data[i][0] for i in range(len(data))])


def test_features_are_the_mean_of_all_states_and_zero_at_padding():
    encoder = model().eval().double()
    nn.init.normal_(encoder.body.mix.weight)
    nn.init.constant_(encoder.body.mix.scale, 1.7)
    inputs = padded(rows())
    features = encoder(inputs)
    states = encoder.body.model(**inputs, output_hidden_states=True).hidden_states
    w = numpy.exp(encoder.body.mix.weight.detach().numpy())
    expected = sum(1.7 * share * state for share, state in zip(w / w.sum(), states, strict=True))
    there = inputs["attention_mask"].bool()
    assert len(states) == 4 and encoder.dim == 8
    torch.testing.assert_close(features[there], expected[there])
    assert not features[~there].any() and (features[there] != 0).all()


def test_every_parameter_has_a_layer_and_a_gradient():
    encoder = model()
    assert list(encoder.layers)[-1] == "mix" and len(encoder.layers) >= 4
    assert sum(len(p) for p in encoder.parameters_of().values()) == len(list(encoder.parameters()))
    encoder(padded(rows())).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert encoder.body.mix.weight.grad.any() and encoder.body.mix.scale.grad.any()


def test_kept_states_give_the_same_features_and_are_read_again(tmp_path, monkeypatch):
    encoder, data = model().eval(), rows()
    kept = encoders.keep_states(encoder, data, tmp_path, batch_size=2)
    assert kept.lengths.tolist() == data.lengths.tolist() and torch.equal(kept.labels, data.labels)
    assert kept.inputs["states"][2].shape == (7, 4, 8) and kept.inputs["states"][0].dtype == torch.float16
    inputs = padded(kept)
    torch.testing.assert_close(encoders.kept_mix(encoder)(inputs), encoder(padded(data)), rtol=2e-3, atol=2e-3)
    monkeypatch.setattr(encoder.body.model, "forward", None)
    again = encoders.keep_states(encoder, data, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(kept.inputs["states"], again.inputs["states"], strict=True))


def test_other_weights_or_rows_and_torn_files_are_computed_again(tmp_path):
    encoder, data = model(), rows(labels=False)
    first = encoders.keep_states(encoder, data, tmp_path).inputs["states"][0].clone()
    assert encoder.training and len(list(tmp_path.iterdir())) == 1
    file = next(tmp_path.rglob("states.bin"))
    file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(encoders.keep_states(encoder, data, tmp_path).inputs["states"][0], first)
    with torch.no_grad():
        encoder.body.model.embeddings.word_embeddings.weight.mul_(2)
    assert not torch.equal(encoders.keep_states(encoder, data, tmp_path).inputs["states"][0], first)
    encoders.keep_states(encoder, encoders.Tokens({k: v[:2] for k, v in data.inputs.items()}), tmp_path)
    low = encoders.keep_states(encoder, data, tmp_path, precision="bf16").inputs["states"][0]
    assert len(list(tmp_path.iterdir())) == 4 and low.isfinite().all()


def test_first_frozen_then_joint(tmp_path):
    encoder, data = model(), rows()
    kept, small = encoders.keep_states(encoder, data, tmp_path), encoders.kept_mix(encoder)
    assert list(small.layers) == ["mix"] and small.dim == 8 and len(list(small.parameters())) == 2
    head = heads.Sequence(encoder, 4, width=16, length=6)

    def fit(encoder, data, pad):
        stream = Stream(data, 5, collate=pad, lengths=data.lengths)
        options = {"progress": False, "device": "cpu", "precision": "bf16"}
        trainer = Trainer(encoder, [adapt.supervised(head, "rows")], {"rows": stream}, **options).fit(3)
        assert trainer.evaluate(head, data).value >= 0

    fit(small, kept, collate.pad(keys=["states"]))
    mixed = encoder.body.mix.weight.clone()
    before = encoder.body.model.encoder.layer[0].output.dense.weight.clone()
    assert mixed.any()
    fit(encoder, data, collate.pad())
    assert not torch.equal(before, encoder.body.model.encoder.layer[0].output.dense.weight)
    assert not torch.equal(mixed, encoder.body.mix.weight)


def test_models_are_saved(tmp_path):
    encoder, data = model().eval(), rows()
    nn.init.normal_(encoder.body.mix.weight)
    head = heads.Sequence(encoder, 4, width=16, length=6)
    kept = encoders.keep_states(encoder, data, tmp_path / "states")
    for number, (part, read) in enumerate([(encoder, data), (encoders.kept_mix(encoder), kept)]):
        inputs = padded(read)
        made = Model(part, head, inputs=inputs)
        again = Model.load(made.save(tmp_path / str(number)))
        assert torch.equal(again.encoder(inputs), part(inputs)) and again.predict(inputs) == made.predict(inputs)


def test_bad_input(tmp_path):
    with pytest.raises(TypeError, match="`encoder` must be an encoders.Encoder"):
        encoders.mix_layers(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"must be of `encoders.from_transformers`.*got a body of Linear"):
        encoders.mix_layers(encoders.wrap(nn.Linear(2, 2), 2))
    with pytest.raises(TypeError, match="must be of `encoders.mix_layers`, got a body of Linear"):
        encoders.keep_states(encoders.wrap(nn.Linear(2, 2), 2), rows(), tmp_path)
    with pytest.raises(ValueError, match=r"`inputs` must have `states`, got \['input_ids'\]"):
        encoders.kept_mix(model())({"input_ids": torch.ones(2, 3).long()})
    with pytest.raises(ValueError, match="`precision` must be 'float32' or 'bf16', got 'f'"):
        encoders.keep_states(model(), rows(), tmp_path, precision="f")
    with pytest.raises(ValueError, match="`rows` must not be padded"):
        inputs = {"input_ids": torch.ones(2, 3).long(), "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}
        encoders.keep_states(model(), encoders.Tokens(inputs), tmp_path)
