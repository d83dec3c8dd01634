"""Dual encoders of open_clip and sentence-transformers, by small models made here."""

import json

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, encoders, engine, zeroshot

NAMES = ["cat", "Zoë", "李雷"]


@pytest.fixture(scope="module")
def clip():
    open_clip = pytest.importorskip("open_clip", reason="the extra `clip`")
    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        text_cfg={"context_length": 12, "width": 16, "heads": 2, "layers": 1},
    )
    return model, encoders.from_open_clip(model, open_clip.SimpleTokenizer(context_length=12), "a transform")


def test_both_sides_of_open_clip(clip):
    from open_clip import SimpleTokenizer, build_zero_shot_classifier

    model, dual = clip
    model.eval()
    x = torch.rand(5, 3, 16, 16)
    assert (dual.image.dim, dual.text.dim, dual.image.preprocess) == (16, 16, "a transform")
    torch.testing.assert_close(dual.image(x), model.encode_image(x))
    templates = ["a photo of a {}.", "a drawing of a {}."]
    expected = build_zero_shot_classifier(model, SimpleTokenizer(context_length=12), NAMES, templates).T
    vectors = zeroshot.vectors(dual.text, NAMES, templates)
    torch.testing.assert_close(vectors, expected)
    found = zeroshot.fit(dual.image, NAMES, templates, text=dual.text, scale=dual.scale)
    logits = model.logit_scale.exp() * nn.functional.normalize(model.encode_image(x), dim=1) @ expected.T
    numpy.testing.assert_allclose(found.probabilities(x), logits.softmax(1).detach(), atol=1e-5)
    assert found.predict(x).tolist() == [NAMES[i] for i in logits.argmax(1)]
    rows = engine.features(dual.image, TensorDataset(x)).tensors[0]
    torch.testing.assert_close(rows, model.encode_image(x).detach())
    tokens = SimpleTokenizer(context_length=12)(NAMES)
    torch.testing.assert_close(dual.text(tokens), dual.text(NAMES))


def test_a_model_of_open_clip_is_saved(clip, tmp_path):
    x = torch.rand(5, 3, 16, 16)
    model = zeroshot.fit(clip[1].image, NAMES, text=clip[1].text, unlabelled=x)
    assert model.card["settings"]["rows"] == 5
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_allclose(again.probabilities(x), model.probabilities(x), atol=1e-5)


def test_what_is_no_model_of_open_clip():
    with pytest.raises(TypeError, match="`model` must be a model of open_clip, got a Linear without encode_image"):
        encoders.from_open_clip(nn.Linear(2, 2), len)
    model = nn.Module()
    model.encode_image = model.encode_text = model.logit_scale = None
    with pytest.raises(TypeError, match="`tokenizer` must be"):
        encoders.from_open_clip(model, None)


def small_clip(folder):
    """A folder of a CLIP model of transformers with a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["[UNK]", "<s>", "</s>", "a", "photo", "of", "cat", "Zoë", "李雷", "."])}
    plain = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", pad_token="</s>", eos_token="</s>", bos_token="<s>",
        model_max_length=12,
    )  # fmt: skip
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=sizes | {"vocab_size": 10, "max_position_embeddings": 12, "eos_token_id": 2, "bos_token_id": 1},
        vision_config=sizes | {"image_size": 16, "patch_size": 8}, projection_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "clip"


@pytest.fixture(scope="module")
def multimodal(tmp_path_factory):
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="the extra `text`")
    folder = tmp_path_factory.mktemp("clip")
    small_clip(folder)
    transformer = sentence_transformers.sentence_transformer.modules.Transformer(str(folder))
    return sentence_transformers.SentenceTransformer(modules=[transformer], device="cpu")


def test_texts_and_images_in_one_class_of_sentence_transformers(multimodal):
    from PIL import Image

    g = numpy.random.default_rng(0)
    photos = [Image.fromarray(g.integers(0, 255, (20, 18, 3), "uint8")) for _ in range(4)]
    encoder = encoders.from_sentence_transformers(multimodal).eval()
    assert encoder.dim == 8
    with torch.no_grad():
        numpy.testing.assert_allclose(encoder(photos), multimodal.encode(photos), atol=1e-5)
        numpy.testing.assert_allclose(encoder(NAMES), multimodal.encode(NAMES), atol=1e-5)
    model = zeroshot.fit(encoder, NAMES, ["a photo of {} ."])
    vectors = zeroshot.vectors(encoder, NAMES, ["a photo of {} ."])
    images = nn.functional.normalize(torch.from_numpy(multimodal.encode(photos)), dim=1)
    rows = engine.features(encoder, photos, collate=list)
    expected = (images @ vectors.T).argmax(1)
    assert (nn.functional.normalize(rows.tensors[0], dim=1) @ vectors.T).argmax(1).tolist() == expected.tolist()
    model = Model(encoder, model.head, collate=list)
    assert model.predict(photos).tolist() == [NAMES[i] for i in expected]
