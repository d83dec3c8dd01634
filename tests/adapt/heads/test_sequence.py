"""A text from the features of another text."""

import itertools
import math

import pytest
import sacrebleu
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, domain, encoders, heads, multitask
from adapt.heads.transformer import Dropout, waves

WORDS = ["", "ein", "Hund", "und", "noch", "mehr", "Wort"]
V, WIDTH = len(WORDS), 8


def decoder(**options):
    torch.manual_seed(35)  # of which texts end early and late
    made = heads.Sequence(6, WORDS, **{"length": 6, "width": WIDTH, "heads": 2, "encoder_layers": 2} | options).double()
    for norm in (m for m in made.modules() if isinstance(m, nn.LayerNorm)):
        nn.init.normal_(norm.weight, 1.0, 0.3)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    nn.init.normal_(made.table.weight)  # so that texts differ
    features = torch.randn(4, 5, 6, dtype=torch.float64)
    features[0, 3:] = 0
    return made.eval(), features


def labels():
    y = torch.randint(V, (4, 6), generator=torch.Generator().manual_seed(0))
    y[1, 3:], y[2, 1], y[3] = -1, -1, -1  # padding, an unknown word, no word
    return y


def copied(attention, into):
    """Copy the weights of an attention into torch's."""
    with torch.no_grad():
        into.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight]))
        into.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
    into.out_proj.load_state_dict(attention.out.state_dict())


def like_torch(layer, kind):
    """Return torch's layer with the weights of ours."""
    made = kind(WIDTH, 2, 2 * WIDTH, 0.0, norm_first=True, batch_first=True).double()
    copied(layer.attend, made.self_attn)
    if kind is nn.TransformerDecoderLayer:
        copied(layer.look, made.multihead_attn)
    for number, norm in enumerate(layer.norms, 1):
        getattr(made, f"norm{number}").load_state_dict(norm.state_dict())
    made.linear1.load_state_dict(layer.feed[0].state_dict())
    made.linear2.load_state_dict(layer.feed[3].state_dict())
    return made


def reference(made, features, before, padding=None):
    """Return logits of all words after the words `before`, one sentence: the equation of the docstring by torch."""
    p = torch.zeros(10, WIDTH, dtype=torch.float64)
    for j, i in itertools.product(range(10), range(WIDTH // 2)):
        angle = j / 10_000 ** (2 * i / WIDTH)
        p[j, i], p[j, WIDTH // 2 + i] = math.sin(angle), math.cos(angle)
    x = features @ made.look.weight.T + made.look.bias + p[: len(features)]
    for layer in made.encode:
        x = like_torch(layer, nn.TransformerEncoderLayer)(x[None])[0]
    memory = made.norm_memory(x)
    h = made.table.weight[torch.tensor(before)] * math.sqrt(WIDTH) + p[: len(before)]
    mask = nn.Transformer.generate_square_subsequent_mask(len(before), dtype=torch.float64)
    stack = nn.TransformerDecoder(like_torch(made.decode[0], nn.TransformerDecoderLayer), len(made.decode), made.norm)
    stack.layers = nn.ModuleList(like_torch(layer, nn.TransformerDecoderLayer) for layer in made.decode)
    return (stack(h[None], memory[None], tgt_mask=mask)[0] @ made.table.weight[:V].T).detach()


def slow(made, features, y, start=V + 1):
    """The cost of each known word, one sentence after another."""
    costs = []
    for z, row in zip(features, y.tolist(), strict=True):
        before = [start, *(V if word == -1 else word for word in row[:-1])]
        log_p = reference(made, z[z.any(1)], before).log_softmax(1)
        costs.append([-log_p[j, word].item() for j, word in enumerate(row) if word != -1])
    return costs


def test_loss_is_that_of_the_layers_of_torch():
    made, features = decoder()
    y = labels()
    memory = made(features)
    costs = slow(made, features, y)
    every = torch.tensor(sum(costs, []), dtype=torch.float64)
    torch.testing.assert_close(made.loss(memory, y), every.mean(), rtol=1e-6, atol=0)
    found = made.measure(memory, y)
    torch.testing.assert_close(found["cost"], torch.tensor([sum(c) for c in costs]).double(), rtol=1e-6, atol=0)
    assert found["words"].tolist() == made.present(y).sum(1).tolist() == [6, 3, 5, 0]
    assert made.loss(memory, torch.full_like(y, -1)) == 0
    smooth, _ = decoder(label_smoothing=0.3)
    z = []
    for f, row in zip(features[:3], y[:3], strict=True):
        before = row.where(row >= 0, V).tolist()
        z.append(reference(smooth, f[f.any(1)], [V + 1, *before[:-1]])[row >= 0])
    expected = nn.functional.cross_entropy(torch.cat(z), y[y != -1], label_smoothing=0.3)
    torch.testing.assert_close(smooth.loss(smooth(features), y), expected, rtol=1e-6, atol=0)


def test_several_languages_have_a_start_each():
    made, features = decoder(languages=["de", "fr"], language="fr")
    y = torch.cat([torch.tensor([[0], [1], [1], [-1]]), labels()], 1)
    parts = [slow(made, features[i : i + 1], y[i : i + 1, 1:], V + 1 + int(y[i, 0]))[0] for i in range(3)]
    every = torch.tensor(sum(parts, []), dtype=torch.float64)
    memory = made(features)
    torch.testing.assert_close(made.loss(memory, y), every.mean(), rtol=1e-6, atol=0)
    assert not made.present(y)[:, 0].any() and made.measure(memory, y)["words"].tolist() == [6, 3, 5, 0]
    texts = {name: made.generate(memory, language=name) for name in ("de", "fr")}
    assert texts["de"] != texts["fr"] == made.generate(memory) == made.generate(memory, language=1)
    mixed = made.generate(memory, language=torch.tensor([0, 1, 0, 1]))
    assert mixed == [texts[("de", "fr")[i % 2]][i] for i in range(4)]
    assert made.measure(memory, y)["found"][0] == made.text(texts["de"][0])
    made.check(y)
    y[0, 0] = 2
    with pytest.raises(ValueError, match="column 0 of `labels` must be the number of a language, 0 to 1, got -1 to 2"):
        made.check(y)


def test_gradients_reach_everything_and_padding_says_nothing():
    made, features = decoder(dropout=0.1)
    features.requires_grad_()
    made.train().loss(made(features), labels()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in made.parameters())
    assert features.grad[:3].any()
    made.eval()
    with torch.no_grad():
        again, longer = made(features), made(nn.functional.pad(features, (0, 0, 0, 4)))
        torch.testing.assert_close(made.loss(again, labels()), made.loss(longer, labels()))
        assert made.generate(again) == made.generate(longer)
        assert made.loss(torch.zeros_like(again), labels()).isfinite(), "sentences of padding alone"


def test_one_beam_is_the_most_probable_word_each_time_and_keys_are_kept():
    made, features = decoder(dropout=0.5)
    made.train()
    state = torch.get_rng_state()
    made.generate(made(features).detach())
    assert made.training
    torch.set_rng_state(state)
    made.eval()
    texts = made.generate(made(features))
    assert torch.equal(state, torch.get_rng_state()), "dropout is off"
    for z, text in zip(features, texts, strict=True):
        words = []
        while len(words) < 6 and 0 not in words:
            words.append(int(reference(made, z[z.any(1)], [V + 1, *words])[-1].argmax()))
        assert text == [word for word in words if word]
    assert len({len(text) for text in texts}) > 1
    assert made.generate(made(features), 2) == [text[:2] for text in texts]
    assert made.generate(made(features), 60) == texts
    assert made.predict(made(features)) == [" ".join(WORDS[w] for w in text) for text in texts]


@pytest.mark.parametrize("penalty", [0.0, 1.0, 1.7])
def test_many_beams_find_the_best_of_all_texts(penalty):
    made, features = decoder(length=3)
    every = [t for m in (1, 2, 3) for t in itertools.product(range(V), repeat=m)
             if 0 not in t[:-1] and (t[-1] == 0 or m == 3)]  # fmt: skip
    found = made.generate(made(features), beam=V * V, penalty=penalty)
    costs = slow(made, features[:1].expand(len(every), -1, -1), torch.tensor([[*t, -1, -1][:3] for t in every]))
    best = min(zip(costs, every, strict=True), key=lambda pair: sum(pair[0]) / len(pair[0]) ** penalty)[1]
    assert found[0] == [word for word in best if word]
    few = [made.generate(made(features), beam=b, penalty=penalty) for b in (1, 2, 4)]
    assert all(len(texts) == 4 for texts in few)


def test_beams_of_a_row_do_not_see_other_rows():
    made, features = decoder()
    together = made.generate(made(features), beam=3)
    assert together == [made.generate(made(z[None]), beam=3)[0] for z in features]


def test_score_is_that_of_sacrebleu():
    made, _ = decoder()
    found = ["ein Hund", "und noch mehr Wort", "Wort mehr", ""]
    truth = ["ein Hund", "und noch mehr Hund", "ein Wort mehr", ""]
    measures = {"cost": torch.tensor([1.0, 2.0, 3.0, 0.0]), "words": torch.tensor([3, 5, 4, 0])}
    score = made.score(measures | {"found": found, "truth": truth})
    expected = sacrebleu.metrics.CHRF(eps_smoothing=True).corpus_score(found[:3], [truth[:3]]).score
    assert score.metric == "chrF2" and score.value == pytest.approx(expected) and score.n == 3
    assert score.low <= score.value <= score.high and score.higher_is_better
    assert score.further["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(found[:3], [truth[:3]]).score)
    assert score.named("cross-entropy") == (pytest.approx(0.5), False)
    units = made.score(measures | {"found": found, "truth": truth}, torch.tensor([7, 7, 9, 9]))
    assert units.n == 2 and units.value == score.value
    with pytest.raises(ValueError, match="no known word"):
        made.score(measures | {"found": found, "truth": truth, "words": torch.zeros(4)})


def test_vectors_of_words_are_the_start_of_the_table():
    vectors = torch.randn(V, WIDTH) * 7
    vectors[0] = 0
    made = heads.Sequence(6, WORDS, width=WIDTH, vectors=vectors)
    table = made.table.weight[:V].detach()
    assert table[0].any() and table[1:].square().mean().item() == pytest.approx(1 / WIDTH)
    torch.testing.assert_close(table[1:] / table[1, 0], vectors[1:] / vectors[1, 0])


def test_its_outputs_are_no_logits_and_its_scale_is_that_of_equal_probabilities():
    made, features = decoder()
    with pytest.raises(TypeError, match="`head` of mcc must tell exclusive classes apart"):
        domain.mcc(made)
    nn.init.zeros_(made.table.weight)
    assert made.loss(made(features), labels()).item() == pytest.approx(made.natural_scale)
    task = multitask.task("text", heads.WithTaskLayers(heads.Bottleneck(6), made), "rows").loss
    task.check({"rows": Stream(TensorDataset(features, labels()), 2)})
    assert task.scale == made.natural_scale == pytest.approx(1.9459101)


def test_it_learns_is_saved_and_answers_in_words(tmp_path):
    torch.manual_seed(0)
    x = nn.functional.one_hot(torch.randint(1, 7, (60, 3)), 8).float()
    y = torch.cat([x.argmax(2), torch.zeros(60, 1, dtype=torch.long)], 1)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(8, 8)), 8)
    head, rows = heads.Sequence(encoder, WORDS, length=5, width=32, beam=2), TensorDataset(x, y)
    adam = lambda groups: torch.optim.Adam(groups, 0.01)  # noqa: E731
    options = {"optimizer": adam, "progress": False, "device": "cpu", "precision": "bf16"}
    trainer = Trainer(encoder, [adapt.supervised(head, "rows")], {"rows": Stream(rows, 30)}, **options)
    before = trainer.evaluate(head, rows)
    after = trainer.fit(150).evaluate(head, rows)
    assert after.further["cross-entropy"] < 0.5 < 1.5 < before.further["cross-entropy"]
    model = trainer.model(head)
    said = model.predict(x)
    truth = [" ".join(WORDS[i] for i in row[:3]) for row in y.tolist()]
    assert heads.chrf(said, truth) == pytest.approx(after.value) and after.value > 60
    again = Model.load(model.save(tmp_path / "model"))
    assert again.predict(x) == said and again.evaluate(rows) == model.evaluate(rows)
    assert repr(again.head) == repr(model.head) and "words=7, length=5" in repr(head)
    assert again.head.beam == 2 and again.head.recipe == head.recipe


def test_the_precision_of_the_loss_is_that_of_the_pass():
    made, features = decoder()
    made.float()
    seen = []
    made.decode[0].feed[0].register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        memory = made(features.float())
    low = made.loss(memory.float(), labels())
    made.generate(memory.float(), 1)
    exact = made.loss(made(features.float()), labels())
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32] and low.dtype == exact.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=0.03, atol=0)


def test_a_resumed_run_is_the_same(tmp_path):
    def trainer():
        made, features = decoder(dropout=0.3, label_smoothing=0.1)
        made.float().train()
        encoder, data = encoders.wrap(nn.Linear(6, 6), 6), TensorDataset(features.float(), labels())
        options = {"progress": False, "device": "cpu"}
        return Trainer(encoder, [adapt.supervised(made, "rows")], {"rows": Stream(data, 2)}, **options)

    whole = trainer().fit(4)
    path = trainer().fit(2, planned=4).save(tmp_path / "half")
    again = trainer().resume(path).fit(4)
    for a, b in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_dropout_keeps_the_mean_and_follows_the_seed():
    x, drop = torch.ones(1001, 101, requires_grad=True), Dropout(0.3)
    torch.manual_seed(0)
    first = drop(x)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first) and not torch.equal(drop(x), first)
    assert first.mean().item() == pytest.approx(1, abs=0.01) and (first == 0).float().mean().item() == pytest.approx(
        0.3, abs=0.01
    )
    for lag in (1, 2, 3, 4):  # four entries come from one number
        zero = (first == 0).flatten().double()
        assert abs(torch.corrcoef(torch.stack([zero[:-lag], zero[lag:]]))[0, 1]) < 0.02
    first.sum().backward()
    assert torch.equal(x.grad, first.detach()) and drop.eval()(x) is x


def test_places_from_a_later_place_on():
    assert torch.equal(waves(3, 8, first=2), waves(5, 8)[2:]) and waves(2, 5).shape == (2, 5)


def test_bytes_of_pieces_are_texts():
    letters = heads.Sequence(6, ["", "Ein", "Ġgr", "Ã¼", "ner"], width=8, byte_level=True)
    assert letters.text([1, 2, 3, 4, 0, -1]) == "Ein grüner" and letters.text([3, 0]) == "ü"
    broken = heads.Sequence(6, ["", "Ã"], width=8, byte_level=True)
    assert broken.text([1]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Sequence(8, [""]), "`words` must be at least 2, got 1"),
        (lambda: heads.Sequence(8, WORDS, width=10), "`width` must be a multiple of the 4 heads, got 10"),
        (lambda: heads.Sequence(8, WORDS, vectors=torch.ones(3, 4)), r"`vectors` must be \(7, 256\).*got \(3, 4\)"),
        (lambda: heads.Sequence(8, WORDS, languages=["de"], language="fr"), "`language` must be one of .'de'.*'fr'"),
        (lambda: heads.Sequence(8, WORDS, language=0), r"`language` must be one of \[\]"),
        (lambda: decoder()[0](torch.zeros(4, 5, 3)), "must have size 6, got 3"),
        (lambda: decoder()[0](torch.zeros(4, 6)), r"must be \(n, length, 6\), got \(4, 6\)"),
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
