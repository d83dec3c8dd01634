"""Sums over all paths, the best path, and the tagger with a chain, against all paths one by one."""

import itertools

import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, encoders, heads
from adapt.heads.chain import log_partition, marginals, viterbi
from tests.ranks import run_ranks

NAMES = ["O", "B-a", "I-a", "B-b"]


def drawn(n=30, length=5, K=3):
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(n, length, K, generator=g, dtype=torch.float64)
    chain = [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((K,), (K, K), (K,))]
    words = torch.rand(n, length, generator=g) < 0.6
    words[0], words[1], words[2] = True, False, torch.arange(length) < 2
    return logits, words, chain


def scored(logits, words, start, transitions, end):
    """All paths of the words of one sentence, with the score of each."""
    z = logits[words]
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        score = sum((z[t, k] for t, k in enumerate(path)), torch.zeros((), dtype=z.dtype))
        for before, k in itertools.pairwise(path):
            score = score + transitions[before, k]
        yield path, score + start[path[0]] + end[path[-1]]


def test_the_sum_the_best_path_and_the_marginals_are_those_of_all_paths():
    logits, words, chain = drawn()
    found, best, shares = (function(logits, words, *chain) for function in (log_partition, viterbi, marginals))
    assert (best[~words] == 0).all() and (shares[~words] == 1 / 3).all()
    assert found[1] == chain[2].logsumexp(0), "no word"
    for i in range(len(logits)):
        if not words[i].any():
            continue
        paths, scores = zip(*scored(logits[i], words[i], *chain), strict=True)
        scores = torch.stack(scores)
        torch.testing.assert_close(found[i], scores.logsumexp(0), rtol=1e-12, atol=1e-12)
        assert best[i][words[i]].tolist() == list(paths[int(scores.argmax())])
        expected = torch.zeros(int(words[i].sum()), 3, dtype=torch.float64)
        for path, share in zip(paths, scores.softmax(0), strict=True):
            for t, k in enumerate(path):
                expected[t, k] += share
        torch.testing.assert_close(shares[i][words[i]], expected, rtol=1e-10, atol=1e-12)


def tagger(K=3, dim=5, **options):
    torch.manual_seed(0)
    head = heads.TokenClassifier(dim, K, crf=True, **options).double()
    with torch.no_grad():
        for part in (head.start, head.transitions, head.end):
            part.normal_()
    return head


def rows(n=4, length=5, dim=5, K=3):
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(n, length, dim, generator=g, dtype=torch.float64), torch.randint(K, (n, length), generator=g)
    y[torch.rand(n, length, generator=g) < 0.3] = -1  # words of unknown tag
    for i, words in enumerate((length, 0, 2, 4)):
        x[i, words:], y[i, words:] = 0, -1
    return x, y


def test_the_loss_is_the_probability_of_the_known_tags():
    head, (x, y) = tagger(), rows()
    logits = head(x).detach().requires_grad_()
    words, total = (x != 0).any(2), torch.zeros((), dtype=torch.float64)
    for i in (0, 2, 3):
        paths, scores = zip(*scored(logits[i], words[i], head.start, head.transitions, head.end), strict=True)
        known = y[i][words[i]].tolist()
        agrees = torch.tensor([all(t in (-1, k) for t, k in zip(known, path, strict=True)) for path in paths])
        scores = torch.stack(scores)
        total = total + scores.logsumexp(0) - scores[agrees].logsumexp(0)
    expected = total / (y != -1).sum()
    loss = head.loss(logits, y)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    wanted = [logits, head.start, head.transitions, head.end]
    pairs = zip(torch.autograd.grad(loss, wanted), torch.autograd.grad(expected, wanted), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradcheck(lambda z: head.loss(head.linear(z).masked_fill(~words[..., None], -(2.0**60)), y),
                                    x.clone().requires_grad_())  # fmt: skip
    assert head.loss(logits, torch.full_like(y, -1)) == 0


def test_padding_changes_nothing_and_a_chain_of_zeros_is_the_cross_entropy():
    head, (x, y) = tagger(), rows()
    wider, more = torch.cat([x, torch.zeros_like(x)], 1), torch.cat([y, torch.full_like(y, -1)], 1)
    torch.testing.assert_close(head.loss(head(wider), more), head.loss(head(x), y), rtol=1e-13, atol=0)
    assert torch.equal(head.predict(head(wider))[:, :5], head.predict(head(x)))
    plain, fresh = heads.TokenClassifier(5, 3).double(), heads.TokenClassifier(5, 3, crf=True).double()
    fresh.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(fresh.loss(fresh(x), y), plain.loss(plain(x), y), rtol=1e-12, atol=0)
    torch.testing.assert_close(fresh.probabilities(fresh(x))[0], plain.probabilities(plain(x))[0])
    assert torch.equal(fresh.predict(fresh(x))[0], plain.predict(plain(x))[0])


def test_bfloat16():
    head, (x, y) = tagger().float(), rows()
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(x.bfloat16())
    assert logits.dtype == torch.bfloat16 and (logits[1].double() == -(2.0**60)).all()
    exact = head.double()
    expected = exact.loss(exact(x), y)
    torch.testing.assert_close(head.loss(logits.float(), y).double(), expected, rtol=2e-2, atol=0)


def test_tags_of_spans_are_always_whole():
    head = heads.TokenClassifier(4, NAMES, iob2=True)
    x = torch.randn(50, 8, 4, generator=torch.Generator().manual_seed(0))
    logits = head(x)
    found, plain = head.predict(logits), logits.argmax(2)
    orphans = lambda tags: sum(  # noqa: E731
        row[t] == 2 and (t == 0 or row[t - 1] not in (1, 2)) for row in tags.tolist() for t in range(8)
    )
    assert orphans(found) == 0 and orphans(plain) > 50
    for i in range(3):  # the best of the allowed paths
        paths = itertools.product(range(4), repeat=8)
        whole = torch.tensor([p for p in paths if not orphans(torch.tensor([p]))])
        z = logits[i].detach()
        best = whole[z[torch.arange(8), whole].sum(1).argmax()]
        assert torch.equal(found[i], best)


@pytest.mark.parametrize("crf", [False, True])
def test_the_score_is_that_of_the_spans(crf):
    torch.manual_seed(0)
    head = heads.TokenClassifier(4, NAMES, crf=crf, iob2=True)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 6, 4, generator=g), torch.randint(4, (30, 6), generator=g)
    x[:, 4:][:15], y[:, 4:][:15] = 0, -1
    score = head.score(head.measure(head(x), y))
    tags = [[[NAMES[k] for k in row[row_y >= 0].tolist()] for row, row_y in zip(t, y, strict=True)]
            for t in (head.predict(head(x)), y)]  # fmt: skip
    expected = heads.span_f1(*tags)
    assert score.metric == "span F1" and score.value == pytest.approx(expected.micro.f1) and score.n == 30
    assert score.low < score.value < score.high
    further = {f"F1 of {name}": spans.f1 for name, spans in expected.types.items()}
    further |= {"precision": expected.micro.precision, "recall": expected.micro.recall}
    assert {k: score.further[k] for k in further} == pytest.approx(further)
    hits = (head.predict(head(x)) == y)[y >= 0].double().mean().item()
    assert score.further["token accuracy"] == pytest.approx(hits)
    nothing = head.score(head.measure(torch.eye(4)[0].expand(2, 3, 4), torch.zeros(2, 3).long()))
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 1)


def trained(accumulate=1, precision="float32", steps=4, **options):
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(5, 8, bias=False), 8)  # no bias: padding stays 0
    head = heads.TokenClassifier(encoder, NAMES, crf=True, iob2=True)
    x, y = (torch.cat([part] * 2) for part in rows(K=4))
    data = TensorDataset(x.float(), y)
    trainer = Trainer(
        encoder, [adapt.supervised(head, "rows")], {"rows": Stream(data, 8 // accumulate)}, accumulate=accumulate,
        precision=precision, optimizer=lambda groups: torch.optim.SGD(groups, 0.5), device="cpu", progress=False,
        **options,
    )  # fmt: skip
    return trainer.fit(steps), head, data


def weights_and_score(rank=0, world=1, accumulate=1):
    trainer, head, data = trained(accumulate)
    score = trainer.evaluate(head, data, batch_size=3)
    weights = torch.cat([v.detach().flatten() for v in trainer.network.state_dict().values()])
    return weights, None if score is None else (score.value, score.n)


def test_two_ranks_and_micro_batches_equal_one():
    alone, score = weights_and_score()
    torch.testing.assert_close(weights_and_score(accumulate=4)[0], alone, rtol=1e-5, atol=1e-6)
    for weights, found in run_ranks(weights_and_score, 2):
        torch.testing.assert_close(weights, alone, rtol=1e-5, atol=1e-6)
        assert found is None or found == pytest.approx(score, abs=1e-6)


def test_training_in_bf16_resume_and_a_saved_model(tmp_path):
    trainer, head, data = trained(precision="bf16", steps=60)
    assert head.transitions.abs().max() > 0.1
    model = trainer.model(head)
    found = model.predict(data.tensors[0])
    again = Model.load(model.save(tmp_path / "model"))
    assert (again.predict(data.tensors[0]) == found).all() and again.head.crf and again.head.iob2
    assert again.evaluate(data).value == trainer.evaluate(head, data).value
    whole, *_ = trained(steps=6, log=tmp_path / "whole")
    trained(steps=3, log=tmp_path / "half")
    half, *_ = trained(steps=6, log=tmp_path / "half")
    for ours, theirs in zip(whole.network.state_dict().values(), half.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": ["O", "B-a", "X"]}, ValueError, "tags of spans where `iob2=True`.*'X'"),
        ({"classes": ["O", "B-a", "I-b"]}, ValueError, "beside each 'B-type', got 'I-b'"),
        ({"classes": ["O", "o"]}, ValueError, "got 'o'"),
        ({"classes": 3}, ValueError, "got '0'"),
        ({"classes": ["O", "B-a"], "crf": 1}, TypeError, "`crf` must be True or False, got 1"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises((error, ValueError), match=message):
        heads.TokenClassifier(3, **{"iob2": True, **options})
