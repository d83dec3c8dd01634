"""`fewshot.fit`: from a few rows with names to a model."""

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, datasets, encoders, engine, fewshot, heads
from tests.adapt.fewshot.episodes import episodes

D = 6


def encoder():
    torch.manual_seed(0)
    return encoders.wrap(nn.Linear(D, D), D)


def people(counts=(1, 2, 3), names=("Zoë", "李雷", "ada"), queries=40, seed=0, spread=4.0):
    """Rows with names, and queries with the right names."""
    numbers = tuple(range(len(counts)))
    S, y, Q, right = episodes(batch=1, counts=counts, names=numbers, queries=queries, d=D, seed=seed, spread=spread)
    return S[0].float(), [names[i] for i in y[0]], Q[0].float(), [names[i] for i in right[0]]


VECTORS = torch.randn(3, D, generator=torch.Generator().manual_seed(1))
METHODS = {
    "default": None,
    "cl2n, centre": fewshot.cl2n(torch.zeros(D)),
    "centroid": fewshot.centroid(),
    "cosine": fewshot.centroid(metric="cosine"),
    "ridge": fewshot.ridge(),
    "logistic": fewshot.logistic(),
    "lda": fewshot.lda(),
    "text_probe": fewshot.text_probe(VECTORS),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_model_is_the_method_with_the_names_of_the_user(name, tmp_path):
    x, names, queries, right = people()
    made = encoder()
    state = torch.get_rng_state()
    model = fewshot.fit(made, x, names, method=METHODS[name])
    assert torch.equal(torch.get_rng_state(), state)
    assert model.names == ["Zoë", "ada", "李雷"]
    numbers = torch.tensor([model.names.index(n) for n in names])
    method = METHODS[name] or fewshot.centroid(metric="cosine")
    with torch.no_grad():
        expected = method(made(x), numbers, made(queries)).exp().numpy()
    found = model.probabilities(queries)
    numpy.testing.assert_allclose(found, expected, atol=1e-4)
    predicted = model.predict(queries)
    assert predicted.tolist() == [model.names[i] for i in found.argmax(1)]
    if name in ("centroid", "cl2n, centre"):
        assert (predicted == right).mean() > 0.8
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.probabilities(queries), found)
    assert again.predict(queries).tolist() == predicted.tolist()
    assert "few-shot" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_unknown_is_a_class_with_a_probability(name, tmp_path):
    """The prediction is the argmax of the probabilities; a higher threshold has more unknown rows; it is saved."""
    x, names, queries, _ = people()
    far = torch.randn(200, D, generator=torch.Generator().manual_seed(2)) * 5
    options = {"method": METHODS[name], "unknown": far, "false_accept": 0.1}
    model = fewshot.fit(encoder(), x, names, **options)
    assert model.names[-1] == "unknown"
    p = model.probabilities(far)
    assert p.shape == (200, 4) and numpy.allclose(p.sum(1), 1, atol=1e-5)
    predicted = model.predict(far)
    assert predicted.tolist() == [model.names[i] for i in p.argmax(1)]
    assert 0.88 <= (predicted == "unknown").mean() <= 0.92
    plain = fewshot.fit(encoder(), x, names, method=METHODS[name])
    x = torch.cat([x, far])
    p = model.probabilities(x)
    seen = p[:, 3] < 0.999
    assert seen.any()
    known = p[seen, :3] / p[seen, :3].sum(1, keepdims=True)
    numpy.testing.assert_allclose(known, plain.probabilities(x)[seen], atol=2e-3)
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.probabilities(queries), model.probabilities(queries))


def test_the_threshold_of_left_out_classes_and_of_rows_and_of_a_number():
    x, names, queries, _ = people(counts=(3,) * 8, names=tuple("abcdefgh"), spread=8.0)
    made = encoder()
    model = fewshot.fit(made, x, names, method=fewshot.cl2n(), unknown="leave-one-out")
    settings = model.card["settings"]
    assert settings["known rows called unknown in cross-validation"] < 0.2
    assert (model.predict(queries) == "unknown").mean() < 0.3
    strangers, *_ = people(counts=(100,), names=("x",), seed=9, spread=8.0)
    assert (model.predict(strangers) == "unknown").mean() > 0.7
    assert (fewshot.fit(made, x, names, unknown=1e3).predict(queries) == "unknown").all()
    assert (fewshot.fit(made, x, names, unknown=-1e9).predict(queries) != "unknown").all()
    # the reference: the largest logit of each row, by a classifier of the other classes
    with torch.no_grad():
        f, numbers = made(x), torch.tensor([ord(n) - 97 for n in names])
    scores = []
    for i in range(len(f)):
        other = numbers != numbers[i]
        m = f[other].mean(0)
        unit = nn.functional.normalize
        c = torch.stack([unit(f[numbers == k] - m, dim=1).mean(0) for k in numbers[other].unique()])
        scores.append(-((unit(f[i] - m, dim=0) - c) ** 2).sum(1).min() / 0.1)
    assert settings["threshold of the largest logit"] == pytest.approx(float(max(scores)), rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rows", [1, 30])
def test_copies_of_the_unknown_rows_are_unknown(name, rows):
    """Also where all unknown rows are equal, such as rows of zeros: the threshold is above the common score."""
    x, names, queries, _ = people()
    made = encoders.wrap(nn.Identity(), D)
    for row in (torch.zeros(D), torch.full((D,), 0.37), queries[0]):
        far = row.expand(rows, D)
        model = fewshot.fit(made, x, names, method=METHODS[name], unknown=far)
        assert (model.predict(far[:1]) == "unknown").all() and (model.predict(far.repeat(9, 1)) == "unknown").all()


def test_a_threshold_of_every_kind_of_number():
    x, names, queries, _ = people()
    made = encoder()
    expected = fewshot.fit(made, x, names, unknown=0.5).probabilities(queries)
    for threshold in (numpy.float32(0.5), torch.tensor(0.5), numpy.array(0.5)):
        numpy.testing.assert_array_equal(
            fewshot.fit(made, x, names, unknown=threshold).probabilities(queries), expected
        )


def test_one_class_against_unknown():
    x, names, _, _ = people(counts=(5,), names=("ada",))
    far = torch.randn(50, D, generator=torch.Generator().manual_seed(2)) * 30
    model = fewshot.fit(encoder(), x, names, method=fewshot.centroid(), unknown=far)
    assert model.names == ["ada", "unknown"]
    assert set(model.predict(x)) == {"ada"} and (model.predict(far) == "unknown").mean() > 0.9


def test_whole_numbers_texts_and_data_sets_are_read(tmp_path):
    x, names, queries, _ = people()
    made = encoder()
    numbers = [{"Zoë": 10, "ada": 9, "李雷": 700}[n] for n in names]
    assert fewshot.fit(made, x, numbers).names == ["9", "10", "700"]
    data = datasets.arrays(x, names)
    by_data = fewshot.fit(made, data)
    assert by_data.names == data.names
    numpy.testing.assert_array_equal(
        by_data.predict(queries), fewshot.fit(made, x.numpy(), numpy.array(names)).predict(queries)
    )
    assert by_data.evaluate(data).value > 0.5

    def lengths(texts):
        return numpy.array([[len(t), t.count("a"), 1] for t in texts])

    words = encoders.callable(lengths, 3, name="lengths", fingerprint="1")
    model = fewshot.fit(words, ["a", "bb", "a long line of words"], ["short", "short", "long"])
    assert model.predict(datasets.texts(["ab", "another long line"])).tolist() == ["short", "long"]


def test_a_model_learns_on_from_the_solved_head():
    """LP-FT: the head begins where the method ended."""
    x, names, *_ = people(counts=(3, 3, 3))
    model = fewshot.fit(encoder(), x, names, method=fewshot.logistic())
    numbers = torch.tensor([model.names.index(n) for n in names])
    trainer = engine.Trainer(
        model.encoder, [engine.supervised(model.head, "few")], progress=False,
        streams={"few": engine_stream(TensorDataset(x, numbers))},
    )  # fmt: skip
    before = trainer.evaluate(model.head, TensorDataset(x, numbers)).value
    trainer.fit(steps=20)
    assert trainer.evaluate(model.head, TensorDataset(x, numbers)).value >= before > 0.5


def engine_stream(data):
    from adapt import Stream

    return Stream(data, len(data))


def test_what_cannot_be_fitted_is_refused():
    x, names, *_ = people()
    made = encoder()
    for call, message in [
        (lambda: fewshot.fit(made, x), "`names` must be given"),
        (lambda: fewshot.fit(made, x, names[:-1]), "one name for each of 6 rows, got 5"),
        (lambda: fewshot.fit(made, x, ["ada"] * 6), "hold one class, 'ada'"),
        (lambda: fewshot.fit(made, x, names, classes=["ada"]), r"among the `classes` \['ada'\]"),
        (lambda: fewshot.fit(made, x, names, classes=[*set(names), "new"]), "1 have none, the first 'new'"),
        (lambda: fewshot.fit(made, x, names, classes=[*names]), "must differ"),
        (lambda: fewshot.fit(made, TensorDataset(x, torch.tensor([3, 7, 3, 7, 3, 7]))), "6 have none, the first '0'"),
        (lambda: fewshot.fit(made, TensorDataset(x, torch.tensor([-1, 0, 0, 1, 1, 1]))), "found -1 to 1"),
        (lambda: fewshot.fit(made, x * torch.nan, names), "finite numbers"),
        (lambda: fewshot.fit(encoders.wrap(nn.Unflatten(1, (2, 3)), 3), x, names), "pool the features"),
        (lambda: fewshot.fit(made, x[:0], []), "`dataset` is empty"),
        (lambda: fewshot.fit(made, x, ["unknown", *names[1:]], unknown=0.5), "must not hold 'unknown'"),
        (lambda: fewshot.fit(made, x, names, unknown="auto"), "must be 'leave-one-out', a finite number, or rows"),
        (lambda: fewshot.fit(made, x[:2], ["a", "b"], unknown="leave-one-out"), "needs three classes"),
        (lambda: fewshot.fit(made, x, names, method=fewshot.text_probe(VECTORS[:2])), "2 class vectors for 3 classes"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    for threshold in (torch.nan, torch.inf, True, 1j, numpy.array(numpy.nan)):
        with pytest.raises(ValueError, match="`unknown` must be 'leave-one-out', a finite number"):
            fewshot.fit(made, x, names, unknown=threshold)
    for wrong in ([0.5] * 6, [None, *names[1:]], [torch.nan, *names[1:]], [True] * 6, [1, "1", *names[2:]], [b"a"] * 6):
        with pytest.raises(TypeError, match="all texts or all whole numbers"):
            fewshot.fit(made, x, wrong)
    for wrong in ("aabbcc", 5):
        with pytest.raises(TypeError, match="a list with a name for each row"):
            fewshot.fit(made, x, wrong)
    with pytest.raises(TypeError, match="inductive method"):
        fewshot.fit(made, x, names, method="cl2n")


def test_the_layer_before_the_head():
    layer = heads.Centred(3, axes=1)
    layer.centre.copy_(torch.tensor([1.0, 0, 0]))
    layer.directions.copy_(torch.tensor([[0, 0.5, 0]]))
    x = torch.tensor([[1.0, 0, 0], [1, 3, 4]])
    torch.testing.assert_close(layer(x), torch.tensor([[0, 0, 0, 0], [0, 0.6, 0.8, 1 - 0.09]]))
    layer.directions.copy_(torch.tensor([[0.12345, 0.6789, 0.3333]]))
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x), expected)
    with pytest.raises(ValueError, match="must have size 3"):
        layer(torch.zeros(1, 2))
