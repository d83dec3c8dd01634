"""A text from the features of another text."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, domain, encoders, heads, multitask

WORDS = ["", "ein", "Hund", "und", "noch", "mehr", "Wort"]


def decoder(dropout=0.0):
    torch.manual_seed(4)  # texts of 1, 5 and 6 words
    made = heads.SequenceDecoder(8, WORDS, length=6, dropout=dropout).eval()
    features = torch.randn(4, 5, 8)
    features[0, 3:] = 0
    return made, features


def labels():
    y = torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(0))
    y[1, 3:], y[2, 1], y[3] = -1, -1, -1  # padding, an unknown word, no word
    return y


def slow(made, features, y):
    """The cost of each known word, one after another, in double precision: the equation of the docstring."""
    tables, costs = made.double(), []
    n, m = y.shape
    for i in range(n):
        M = [made.look(row) for row in features[i].double() if row.any()]
        for j in range(m):
            if y[i, j] == -1:
                continue
            before = [7 if k == 0 or y[i, k - 1] == -1 else int(y[i, k - 1]) for k in (j - 2, j - 1, j) if k >= 0]
            v = [torch.zeros(8, dtype=torch.float64)] * (3 - len(before)) + [tables.vectors.weight[w] for w in before]
            h = (made.before(torch.stack(v, 1).flatten()) + tables.places.weight[j]).tanh()
            share = torch.stack([h @ row for row in M]).softmax(0)
            c = sum(s * row for s, row in zip(share, M, strict=True))
            z = tables.vectors.weight[:7] @ made.join(torch.cat([h, c])).tanh()
            costs.append(-z.log_softmax(0)[y[i, j]])
    return torch.stack(costs)


def test_loss_and_score_are_those_of_the_known_words():
    made, features = decoder()
    y = labels()
    memory = made(features)
    loss, measures = made.loss(memory, y), made.measure(memory, y)
    costs = slow(made, features, y)
    torch.testing.assert_close(loss.double(), costs.mean(), rtol=1e-5, atol=0)
    score = made.score(measures)
    assert score.value == pytest.approx(costs.mean().item(), rel=1e-5) and not score.higher_is_better
    assert score.n == 3 and measures[1].tolist() == made.present(y).sum(1).tolist() == [6, 3, 5, 0]
    assert made.double().loss(made(features.double()), torch.full_like(y, -1)) == 0


def test_gradients_reach_everything_and_padding_says_nothing():
    made, features = decoder()
    features.requires_grad_()
    made.loss(made(features), labels()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in made.parameters())
    assert features.grad[:3].any()
    with torch.no_grad():
        again, longer = made(features), made(nn.functional.pad(features, (0, 0, 0, 4)))
        torch.testing.assert_close(made.loss(again, labels()), made.loss(longer, labels()))
        assert made.loss(torch.zeros_like(again), labels()).isfinite(), "sentences of padding alone"


def test_what_it_says_is_what_it_finds_most_probable():
    made, features = decoder(dropout=0.5)
    made.train()
    state = torch.get_rng_state()
    texts = made.predict(made(features))
    assert made.training and torch.equal(state, torch.get_rng_state()), "dropout is off"
    made.eval()
    memory = made(features)
    with torch.no_grad():
        for m, text in zip(memory, texts, strict=True):
            words = [WORDS.index(word) for word in text.split()]
            y = torch.tensor([words + [0] if len(words) < 6 else words])
            logits, known, _ = made._forced(m[None], y)
            assert torch.equal(logits.argmax(1), known)
    assert {len(text.split()) for text in texts} >= {1, 6}
    assert made.predict(memory, 2) == [" ".join(text.split()[:2]) for text in texts]
    assert made.predict(memory, 60) == texts


def test_its_outputs_are_no_logits_and_its_scale_is_that_of_equal_probabilities():
    made, features = decoder()
    with pytest.raises(TypeError, match="`head` of mcc must tell exclusive classes apart"):
        domain.mcc(made)
    nn.init.zeros_(made.vectors.weight)
    assert made.loss(made(features), labels()).item() == pytest.approx(made.natural_scale)
    task = multitask.task("text", heads.WithTaskLayers(heads.Bottleneck(8), made), "rows").loss
    task.check({"rows": Stream(TensorDataset(features, labels()), 2)})
    assert task.scale == made.natural_scale == pytest.approx(1.9459101)


def test_it_learns_is_saved_and_answers_in_words(tmp_path):
    torch.manual_seed(0)
    x = nn.functional.one_hot(torch.randint(1, 7, (60, 3)), 8).float()
    y = torch.cat([x.argmax(2), torch.zeros(60, 1, dtype=torch.long)], 1)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(8, 8)), 8)
    head, rows = heads.SequenceDecoder(encoder, WORDS, length=5), TensorDataset(x, y)
    adam = lambda groups: torch.optim.Adam(groups, 0.02)  # noqa: E731
    options = {"optimizer": adam, "progress": False, "device": "cpu", "precision": "bf16"}
    trainer = Trainer(encoder, [adapt.supervised(head, "rows")], {"rows": Stream(rows, 30)}, **options)
    before = trainer.evaluate(head, rows).value
    after = trainer.fit(150).evaluate(head, rows).value
    assert after < 0.5 < 1.5 < before
    model = trainer.model(head)
    said = model.predict(x)
    truth = [" ".join(WORDS[i] for i in row[:3]) for row in y.tolist()]
    assert heads.chrf(said, truth) > 60
    again = Model.load(model.save(tmp_path / "model"))
    assert again.predict(x) == said and again.evaluate(rows) == model.evaluate(rows)
    assert repr(again.head) == repr(model.head) and "words=7, length=5" in repr(head)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.SequenceDecoder(8, [""]), "`words` must be at least 2, got 1"),
        (lambda: decoder()[0](torch.zeros(4, 5, 3)), "must have size 8, got 3"),
        (lambda: decoder()[0](torch.zeros(4, 8)), r"must be \(n, length, 8\), got \(4, 8\)"),
        (lambda: decoder()[0].check(torch.zeros(4, 7).long()), "1 to 6 words.*got 7: cut.*larger `length`"),
        (lambda: decoder()[0].check(torch.zeros(4, 0).long()), "1 to 6 words for each sentence, got 0"),
        (
            lambda: decoder()[0].measure(torch.zeros(3, 2, 8), torch.zeros(4, 2).long()),
            "number of sentences, got 3 and 4",
        ),
        (lambda: decoder()[0].check(torch.full((4, 2), 7)), r"in \[0, 7\)"),
        (lambda: decoder()[0].check(torch.zeros(4, 2)), "of torch.float32"),
        (lambda: decoder()[0].measure(torch.zeros(1, 2, 8), torch.tensor([[9]])), r"in \[0, 7\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
