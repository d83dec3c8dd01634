"""Row 19 and section 3: folders of transformers and sentence-transformers that are not what they say."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapt import encoders
from tests.adapt.encoders.tiny import bert, tokens
from tests.memory import within_limits

pytest.importorskip("transformers", reason="the extra `text`")


@pytest.fixture
def folder(tmp_path):
    bert().save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reweigh(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def first(tensors, change):
    name = next(n for n in tensors if n.endswith("query.weight"))
    return tensors | {name: change(tensors[name])}


def test_a_folder_in_half_precision_has_float32_masters(tmp_path):
    """Row 19: 83 % of bf16 weights never moved in 100 steps of AdamW."""
    model = bert().to(torch.bfloat16)
    model.save_pretrained(tmp_path / "half")
    encoder = encoders.from_transformers(tmp_path / "half")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    whole = encoders.from_transformers(model.float()).eval()
    torch.testing.assert_close(encoder.eval()(tokens()), whole(tokens()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: configure(f, vocab_size=10**9), "the model of config.json in float32 needs 64,0"),
        (lambda f: configure(f, num_hidden_layers=10**8), "num_hidden_layers = 100000000, and the weight files hold"),
        (lambda f: configure(f, num_hidden_layers=3), "lack 16 weights, the first encoder.layer.2"),
        (lambda f: configure(f, hidden_size=32), "bert` cannot be read"),
        (lambda f: configure(f, model_type="none"), "bert` cannot be read"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "recursion"),
        (lambda f: (f / "config.json").write_bytes(b" " * (17 << 20)), "config.json has more than"),
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "bert` cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 100), "bert` cannot be read"),
        (lambda f: reweigh(f, lambda t: first(t, lambda w: w * torch.nan)), "query.weight` holds a value that is not"),
        (lambda f: reweigh(f, lambda t: first(t, lambda w: w.long())), "query.weight` in model.safetensors is I64"),
        (lambda f: reweigh(f, lambda t: {n: w for n, w in t.items() if "layer.1" not in n}), "lack 16 weights"),
    ],
    ids=range(13),
)
def test_a_folder_that_is_not_what_it_says(folder, damage, message):
    """Section 3: sizes before allocation, weights that are absent were random without a word, NaN and int64 weights."""
    damage(folder)
    with within_limits(folder / "model.safetensors" if (folder / "model.safetensors").exists() else folder):
        with pytest.raises(ValueError, match=f"bert` cannot be read as a model of transformers: .*{message}|{message}"):
            encoders.from_transformers(folder)


def test_a_pickle_of_brackets_in_a_folder(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"(" * 1_000_000)
    with pytest.raises(ValueError, match="bert` cannot be read as a model of transformers: .*open brackets"):
        encoders.from_transformers(folder)


@pytest.mark.parametrize("read", [encoders.from_sentence_transformers, lambda f: encoders.sentences(["a"], model=f)])
@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"idx": 0, "name": "0", "path": "", "type": "trap.Module"}], "asks for `trap.Module`"),
        ([{"idx": 0, "name": "0", "path": "../a", "type": "sentence_transformers.models.Pooling"}], "outside of this"),
        ([{}], "type"),
    ],
)
def test_a_folder_that_would_run_its_own_code(tmp_path, read, modules, message):
    pytest.importorskip("sentence_transformers", reason="the extra `text`")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "trap.py").write_text("raise SystemExit('code of a folder was run')")
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=f"model` cannot be read as a sentence-transformers model: .*{message}"):
        read(folder)
