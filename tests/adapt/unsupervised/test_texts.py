"""Terms on texts: SimCSE, masked tokens and denoising, with a small model of transformers made here."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from adapt import Stream, Trainer, encoders, unsupervised
from adapt.engine import Step
from adapt.streams import Batch
from adapt.unsupervised._denoised_tokens import text_labels
from tests.adapt.engine.tiny import weights
from tests.losses.arithmetic import softmax
from tests.losses.contrastive import references
from tests.ranks import run_ranks

WORDS, LENGTH = 30, 9
SGD = partial(torch.optim.SGD, lr=0.1)


class Tokens:
    """The part of a tokenizer that the terms read: 0 pads, 1 begins, 2 ends, 3 is the mask."""

    all_special_ids, mask_token_id = [0, 1, 2, 3], 3

    def __len__(self):
        return WORDS


def texts(rows=24):
    g = torch.Generator().manual_seed(0)
    ids = torch.zeros(rows, LENGTH, dtype=torch.long)
    for i in range(rows):
        n = 3 + i % 5
        ids[i, : n + 2] = torch.cat([torch.tensor([1]), torch.randint(4, WORDS, (n,), generator=g), torch.tensor([2])])
    return encoders.Tokens({"input_ids": ids, "attention_mask": (ids != 0).long()})


def parts(dtype=torch.float32, dropout=0.0):
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForMaskedLM(config).to(dtype)
    return model, encoders.from_transformers(model.base_model)


TERMS = {
    "simcse": lambda model, encoder: unsupervised.simcse(encoder, on="texts"),
    "masked_tokens": lambda model, encoder: unsupervised.masked_tokens(model, Tokens(), on="texts", share=0.4),
    "denoised_tokens": lambda model, encoder: unsupervised.denoised_tokens(
        encoder, Tokens(), on="texts", length=LENGTH
    ),
}


def made(name, dtype=torch.float64, batch=8, **options):
    model, encoder = parts(dtype, dropout=0.1 if name == "simcse" else 0.0)
    term = TERMS[name](model, encoder)
    term.loss.to(dtype)
    stream = Stream(texts(), batch, labels=False, views=[None, None])
    return Trainer(encoder, [term], {"texts": stream}, progress=False, device="cpu", **{"optimizer": SGD} | options)


def step_of(encoder, number=0):
    rows = [texts()[i] for i in range(6)]
    inputs = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    return Step({"texts": Batch(inputs, None, torch.arange(6), (inputs,))}, encoder, number=number, streams=["texts"])


def test_simcse_is_info_nce_of_two_dropouts():
    model, encoder = parts(torch.float64, dropout=0.3)
    term = TERMS["simcse"](model, encoder)
    term.loss.double()
    step = step_of(encoder)
    value = term(step).item()
    first, second = (term.loss.project(view.features).detach().numpy() for view in step["texts"].views)
    assert np.abs(first - second).max() > 1e-3, "dropout makes the difference"
    assert value == pytest.approx(references.info_nce(first, second, temperature=0.05), rel=1e-9)


def test_masked_tokens_predict_the_chosen_tokens_of_each_text():
    model, encoder = parts(torch.float64)
    term, seen = TERMS["masked_tokens"](model, encoder), []
    model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True)
    ids = step_of(encoder)["texts"].inputs["input_ids"]
    kinds = {"mask": 0, "same": 0, "other": 0}
    for number in range(40):
        step = step_of(encoder, number)
        value, counted = term(step).item(), term.loss.count({"texts": step._batches["texts"]})
        shown = seen.pop()
        changed = shown != ids
        assert not (changed & (ids < 4)).any(), "special tokens and padding stay"
        wanted = [max(1, round(0.4 * int((row >= 4).sum()))) for row in ids]
        assert counted == sum(wanted) and all(int(c) <= w for c, w in zip(changed.sum(1), wanted, strict=True))
        kinds["mask"] += int((shown == 3).sum())
        kinds["other"] += int((changed & (shown != 3)).sum())
        kinds["same"] += sum(wanted) - int(changed.sum())
        if int(changed.sum()) == sum(wanted):  # then the chosen places are known from outside
            logits = model(input_ids=shown, attention_mask=(ids != 0).long()).logits.detach().numpy()
            seen.clear()
            losses = [-np.log(softmax(logits[i, t])[ids[i, t]]) for i, t in changed.nonzero().tolist()]
            assert value == pytest.approx(np.mean(losses), rel=1e-9)
            kinds["checked"] = True
    total = kinds["mask"] + kinds["same"] + kinds["other"]
    assert kinds["checked"]
    # a word drawn by chance is the same word once in 30
    assert abs(kinds["mask"] / total - 0.8) < 0.06 and abs(kinds["same"] / total - 0.103) < 0.05


def test_denoising_deletes_ordinary_tokens_and_writes_the_whole_text():
    model, encoder = parts(torch.float64)
    term, seen = TERMS["denoised_tokens"](model, encoder), []
    term.loss.double()
    encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    step = step_of(encoder)
    value = term(step).item()
    ids, short = step["texts"].inputs["input_ids"], seen[0]
    for row, part, mask in zip(
        ids.tolist(), short["input_ids"].tolist(), short["attention_mask"].tolist(), strict=True
    ):
        left, whole = [w for w, m in zip(part, mask, strict=True) if m], [w for w in row if w]
        ordinary = [w for w in whole if w > 3]
        assert len(left) == len(whole) - round(0.6 * len(ordinary)) and left[0] == 1 and left[-1] == 2
        rest = iter(whole)
        assert all(word in rest for word in left), "the order stays"
    decoder, total, count = term.loss.decoder, 0.0, 0
    features = encoder({**step["texts"].inputs, **short}).detach()
    for row, z in zip(ids, features, strict=True):  # text by text, with labels written out
        labels = torch.tensor([[int(w) + 1 for w in row if w] + [0]])
        n = labels.shape[1]
        total += float(decoder.loss(decoder(z[None, None]), labels).detach()) * n
        count += n
    assert value == pytest.approx(total / count, rel=1e-9)
    assert term.loss.count({"texts": step._batches["texts"]}) == count


def test_labels_of_texts_padded_on_either_side():
    ids, there = torch.tensor([[7, 8, 0], [0, 0, 9]]), torch.tensor([[True, True, False], [False, False, True]])
    assert text_labels(ids, there).tolist() == [[8, 9, 0, -1], [10, 0, -1, -1]]


def on_a_rank(rank, world):
    return {name: weights(made(name).fit(4)) for name in TERMS if name != "simcse"}


def test_two_ranks_equal_one():
    found = run_ranks(on_a_rank, 2)
    for name in found[0]:
        trainer = made(name)
        start, whole = weights(trainer), weights(trainer.fit(4))
        assert torch.equal(found[0][name], found[1][name]) and not torch.equal(start, whole)
        assert (found[0][name] - whole).norm() / whole.norm() < 1e-10


@pytest.mark.parametrize("name", ["masked_tokens", "denoised_tokens"])
def test_accumulation_is_exact(name):
    whole, parts = (weights(made(name, **options).fit(4)) for options in ({}, {"batch": 2, "accumulate": 4}))
    assert (whole - parts).norm() / whole.norm() < 1e-10


@pytest.mark.parametrize("name", TERMS)
def test_a_resumed_run_is_the_run_never_stopped(name, tmp_path):
    whole = weights(made(name, torch.float32).fit(5))
    path = made(name, torch.float32).fit(2, planned=5).save(tmp_path / "half")
    assert torch.equal(weights(made(name, torch.float32).resume(path).fit(5)), whole)


@pytest.mark.parametrize("name", TERMS)
def test_bfloat16_is_finite(name):
    assert weights(made(name, torch.float32, precision="bf16").fit(2)).isfinite().all()


def test_doors():
    model, encoder = parts()
    with pytest.raises(TypeError, match="`tokenizer` must offer"):
        unsupervised.masked_tokens(model, nn.Identity(), on="texts")
    none = Tokens()
    none.mask_token_id = None
    with pytest.raises(ValueError, match="`tokenizer` must have a mask token"):
        unsupervised.masked_tokens(model, none, on="texts")
    for term in (TERMS["masked_tokens"](model, encoder), TERMS["denoised_tokens"](model, encoder)):
        for inputs in (torch.zeros(3, 4), {"input_ids": torch.ones(3, 4)}):
            with pytest.raises(ValueError, match="must have `input_ids` and `attention_mask`"):
                term(Step({"texts": Batch(inputs, None, torch.arange(3))}, encoder, streams=["texts"]))
    with pytest.raises(ValueError, match="compares views"):
        Trainer(encoder, [TERMS["simcse"](model, encoder)], {"texts": Stream(texts(), 4, labels=False)})


def test_texts_without_an_ordinary_token_are_taken():
    model, encoder = parts()
    ids = torch.tensor([[1, 2, 0, 0]] * 3)
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    for name in ("masked_tokens", "denoised_tokens"):
        step = Step({"texts": Batch(inputs, None, torch.arange(3))}, encoder, streams=["texts"])
        assert TERMS[name](model, encoder)(step).isfinite()
