"""Models of transformers and sentence-transformers, small and random."""

import copy
from itertools import islice

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, encoders, engine, heads, inductive
from adapt.encoders._from_transformers import _Pooled
from adapt.streams import collate
from tests.adapt.encoders.tiny import bert, tokens

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


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


def wav2vec2():
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    config = transformers.Wav2Vec2Config(
        **SMALL, conv_dim=(8, 8), conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return transformers.Wav2Vec2Model(config)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("side", ["right", "left"])
def test_row_18_places_are_counted_in_half_precision(dtype, side):
    class States(nn.Module):
        """The states are numbers that half precision holds: 2 at the last place that the mask shows, else 1."""

        def forward(self, input_ids, attention_mask):
            states = torch.ones(1, 512, 2, dtype=dtype)
            states[0, 292 if side == "right" else 511] = 2
            return {"last_hidden_state": states}

    mask = torch.zeros(1, 512, dtype=torch.int64)
    mask[:, slice(293) if side == "right" else slice(219, None)] = 1
    inputs = {"input_ids": mask, "attention_mask": mask}
    assert _Pooled(States(), "last", 2)(inputs).tolist() == [[2.0, 2.0]]
    mean = _Pooled(States(), "mean", 2)(inputs)
    assert mean.dtype == dtype and mean[0, 0] == torch.tensor(294 / 293).to(dtype)


def test_other_models_of_transformers():
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    small, roberta = SMALL, {"vocab_size": 50, "max_position_embeddings": 20}
    made = {
        "roberta": transformers.RobertaModel(transformers.RobertaConfig(**small, **roberta)),
        "gpt2": transformers.GPT2Model(
            transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50, bos_token_id=1, eos_token_id=1)
        ),
        "ast": transformers.ASTModel(transformers.ASTConfig(**small, max_length=64, num_mel_bins=32)),
        "vit": transformers.ViTModel(transformers.ViTConfig(**small, image_size=32, patch_size=16)),
        "wav2vec2": wav2vec2(),
    }
    mask = torch.tensor([[1] * 400] * 3 + [[1] * 200 + [0] * 200])
    inputs = {
        "roberta": tokens(), "gpt2": tokens(), "ast": torch.randn(4, 64, 32), "vit": torch.randn(4, 3, 32, 32),
        "wav2vec2": {"input_values": torch.randn(4, 400), "attention_mask": mask},
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
    model = wav2vec2().eval()
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

    def __call__(self, texts, *, truncation, max_length, padding=False, return_tensors=None):
        rows = [[ord(c) % 49 + 1 for c in text][:max_length] for text in texts]
        if not padding:
            return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
        ids = torch.tensor([row + [0] * (max_length - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def test_texts_become_rows():
    data = encoders.tokens(["ab", "cde"], Letters(), 4, torch.tensor([1, 0]))
    row, label = data[0]
    assert len(data) == 2 and int(label) == 1 and row["attention_mask"].tolist() == [1, 1, 0, 0]
    assert set(encoders.tokens(["ab"], Letters(), 4)[0]) == {"input_ids", "attention_mask"}
    with pytest.raises(ValueError, match="same rows"):
        encoders.Tokens({"input_ids": torch.zeros(2, 3)}, torch.zeros(3))


def test_texts_of_unequal_length_are_padded_in_the_batch_alone():
    texts = ["ab", "abcdefg", "c", "abcdef", "abc"]
    whole, rows = (encoders.tokens(texts, Letters(), 7, torch.arange(5), padded=padded) for padded in (True, False))
    assert rows.lengths.tolist() == [2, 7, 1, 6, 3] and whole.lengths.tolist() == [7] * 5
    assert rows[2][0]["input_ids"].shape == (1,)
    assert encoders.tokens([""], Letters(), 7, padded=False)[0]["input_ids"].dtype == torch.long
    stream = Stream(rows, 2, collate=collate.pad(value={"input_ids": 9}), lengths=rows.lengths)
    encoder = encoders.from_transformers(bert()).eval()
    for batch in islice(stream.batches("text", 0), 4):
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
        assert ids.shape[1] == rows.lengths[batch.index].max() and ids[mask == 0].eq(9).all()
        assert mask.sum(1).tolist() == rows.lengths[batch.index].tolist() == rows.lengths[batch.labels].tolist()
        expected = encoder({name: part[batch.index] for name, part in whole.inputs.items()})
        torch.testing.assert_close(encoder(batch.inputs), expected)


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
