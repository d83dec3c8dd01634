"""The collapse detector and the choice, on constructed candidates whose truth is known to the test alone."""

import math
import zlib

import numpy
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

from adapt import select
from adapt.engine import Predictions
from adapt.select import Candidate, choose, collapse
from adapt.select.signals import mcnemar_z

CLASSES, SOURCE, TARGET = 5, 200, 300
READ = ("shared clusters", "vote", "vote z")  # by the rule


def generator(*key):
    return torch.Generator().manual_seed(zlib.crc32(repr(key).encode()))


def labels(rows, *, classes=CLASSES):
    return torch.arange(rows) % classes


def says(y, accuracy, key, *, classes=CLASSES, sure=3.0):
    """Logits that are right on this share of the rows, to the row; which ones is drawn from `key`."""
    g = generator(*key)
    wrong = (y + torch.randint(1, classes, y.shape, generator=g)) % classes
    said = torch.where(torch.randperm(len(y), generator=g) < round(accuracy * len(y)), y, wrong)
    return sure * F.one_hot(said, classes) + 0.3 * torch.randn(len(y), classes, generator=g)


def model(method, target, source=0.95, *, seed=0, key=0, tight=None, y=None, **about):
    """A candidate of these accuracies; its features lie around the class that is true, the tighter the better."""
    ys, yt = labels(SOURCE), labels(TARGET) if y is None else y
    spread = 2.5 * (1 - target) + 0.3 if tight is None else tight
    g = generator(method, key, seed, "features")
    clouds = [4 * F.one_hot(c, 8).float() + spread * torch.randn(len(c), 8, generator=g) for c in (ys, yt)]
    return Candidate(
        method,
        Predictions(says(ys, source, (method, key, seed, "s")), clouds[0], ys),
        Predictions(says(yt, target, (method, key, seed, "t")), clouds[1], None),
        {"weight": key},
        seed=seed,
        **about,
    )


def one_class(method, key=0):
    made = model(method, 0.8, key=key)
    flat = torch.zeros(TARGET, CLASSES)
    flat[:, 0] = 20.0
    return Candidate(method, made.source, made.target._replace(outputs=flat), {"weight": f"collapsed {key}"})


SOUND = [("dann", 0.85), ("mmd", 0.88), ("coral", 0.84), ("mcc", 0.93)]


def test_takes_a_good_one_where_all_agree():
    choice = choose([model(m, a) for m, a in SOUND], model("plain", 0.6), others=False)
    assert choice.adapted and choice.name in ("mcc weight=0", "mmd weight=0")
    assert choice.chosen[0].method == choice.name.split()[0] and any("vote sides" in r for r in choice.reasons)


def test_stays_where_nothing_helped():
    choice = choose([model(m, 0.8) for m, _ in SOUND], model("plain", 0.8), others=False)
    assert not choice.adapted and choice.name == "source-only" and choice.chosen[0].method == "plain"


def test_stays_where_all_harm():
    choice = choose([model(m, 0.5, key=k) for m, _ in SOUND for k in (1, 2)], model("plain", 0.85), others=False)
    assert not choice.adapted


def test_collapsed_models_are_neither_chosen_nor_heard():
    bad = [one_class("entropy", k) for k in range(6)]
    choice = choose([*bad, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert choice.adapted and "entropy" not in choice.name and len(choice.out) == 6
    assert choice.table[choice.name]["vote"] > 0.8
    assert not choose(bad, model("plain", 0.6), others=False).adapted


def test_a_lost_source_is_ruled_out():
    lost = model("dann", 0.95, source=0.7, key="lost")
    choice = choose([lost, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert "below the 95 % interval" in choice.out[lost.name] and choice.name != lost.name


def test_sharp_wrong_clusters_do_not_win():
    """Confident, with the tightest clusters, of which each is given the wrong class for two thirds of the classes."""
    y = labels(TARGET)
    turned = torch.tensor([0, 2, 1, 4, 3])[y]
    wrong = model("im", 1.0, key="turned", tight=0.01)
    wrong = Candidate(
        "im", wrong.source, wrong.target._replace(outputs=20.0 * F.one_hot(turned, CLASSES)), wrong.settings
    )
    choice = choose([wrong, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert choice.name != wrong.name


def test_two_candidates_are_no_vote():
    choice = choose([model("dann", 0.9), model("mmd", 0.9)], model("plain", 0.5), others=False)
    assert not choice.adapted and "a vote needs 3" in choice.reasons[0]


def test_seeds_are_one_configuration():
    seeds = (0, 1, 2)
    candidates = [model(m, a, seed=s) for s in seeds for m, a in SOUND]
    choice = choose(candidates, [model("plain", 0.6, seed=s) for s in seeds], others=False)
    assert choice.adapted and [c.seed for c in choice.chosen] == [0, 1, 2]
    assert set(choice.table) == {"source-only", *(f"{m} weight=0" for m, _ in SOUND)}
    single = [choose([model(m, a, seed=s) for m, a in SOUND], model("plain", 0.6, seed=s), others=False) for s in seeds]
    for column in READ:
        mean = sum(c.table["mmd weight=0"][column] for c in single) / 3
        assert choice.table["mmd weight=0"][column] == pytest.approx(mean, rel=1e-12)
    some = choose(candidates[:-1], [model("plain", 0.6, seed=s) for s in seeds], others=False)
    assert some.out == {"mcc weight=0": "no outputs for seed 2"}


def reference(plain, others):
    """The rule of the docstring for one model a method and one seed, written out; scikit-learn's mutual information."""
    models = [plain, *others]
    p = [m.target.outputs.double().softmax(1).numpy() for m in models]
    y = [q.argmax(1) for q in p]
    c = [KMeans(CLASSES, n_init=3, random_state=0).fit(m.target.features.double().numpy()).labels_ for m in models]
    s = [numpy.mean([adjusted_mutual_info_score(yk, cj) for cj in c]) for yk in y]
    vote = sum(max(sk, 0) * pk for sk, pk in zip(s, p, strict=True)).argmax(1)
    right = [yk == vote for yk in y]
    wins, losses = [(r & ~right[0]).sum() for r in right], [(~r & right[0]).sum() for r in right]
    z = [(a - b) / math.sqrt(a + b) if a + b else 0.0 for a, b in zip(wins, losses, strict=True)]
    allowed = [k for k in range(1, len(models)) if z[k] > 3 and s[k] > s[0]]
    return s, z, models[max(allowed, key=lambda k: s[k]) if allowed else 0].method


@pytest.mark.parametrize("accuracy", [0.55, 0.62, 0.66, 0.7, 0.8])
def test_is_the_rule_that_the_docstring_says(accuracy):
    plain, others = model("plain", 0.6, key=accuracy), [model(m, accuracy * a, key=accuracy) for m, a in SOUND]
    s, z, method = reference(plain, others)
    choice = choose(others, plain, others=False)
    rows = [choice.table["source-only"], *(choice.table[m.name] for m in others)]
    assert [row["shared clusters"] for row in rows] == pytest.approx(s, abs=1e-9)
    assert [row["vote z"] for row in rows] == pytest.approx(z, abs=1e-9)
    assert choice.chosen[0].method == method


def test_the_best_clusters_without_the_vote_are_passed_over():
    """All that is said of a third of the rows is turned: clusters as good as before, and the vote against it."""
    best = model("mmd", 0.99)
    turned = Candidate(
        "turned", best.source, best.target._replace(outputs=best.target.outputs.roll(1, 1)), best.settings
    )
    choice = choose([turned, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert choice.table[turned.name]["shared clusters"] > choice.table[choice.name]["shared clusters"]
    assert choice.adapted and choice.name != turned.name
    assert any("better clusters and without the vote: 1" in reason for reason in choice.reasons)


def test_probabilities_are_the_mean_over_seeds():
    seeds = (0, 1, 2)
    candidates = [model(m, a, seed=s) for s in seeds for m, a in SOUND]
    choice = choose(candidates, [model("plain", 0.6, seed=s) for s in seeds], others=False)
    p = sum(torch.softmax(m.target.outputs.double(), 1) for m in choice.chosen) / 3
    torch.testing.assert_close(choice.probabilities(), p)
    other = [torch.randn(7, CLASSES, generator=generator(s)) for s in seeds]
    torch.testing.assert_close(choice.probabilities(other), sum(z.double().softmax(1) for z in other) / 3)
    with pytest.raises(ValueError, match="each of the 3 in `chosen`, got 2"):
        choice.probabilities(other[:2])
    with pytest.raises(ValueError, match="on the same target rows"):
        choice.probabilities([other[0], other[1], other[2][:5]])


def test_the_order_of_candidates_does_not_matter_and_random_states_stay():
    candidates, before = [model(m, a) for m, a in SOUND], torch.get_rng_state()
    there = choose(candidates, model("plain", 0.6), others=False)
    back = choose(candidates[::-1], model("plain", 0.6), others=False)
    assert there.name == back.name and torch.equal(before, torch.get_rng_state())
    for name, row in there.table.items():
        assert row == pytest.approx(back.table[name], rel=1e-9)


def test_many_checkpoints_of_one_method_do_not_outvote_the_others():
    share = select.signals.vote_shares(
        [model("dann", 0.9, key=k) for k in range(8)] + [model("mmd", 0.9), model("mcc", 0.9)]
    )
    assert share[0] == 1 and sum(share[1:9]) == pytest.approx(share[9]) and sum(share[1:]) == pytest.approx(10)


def test_print_shows_everything():
    choice = choose([model(m, a, step=100) for m, a in SOUND] + [one_class("entropy")], model("plain", 0.6))
    text = str(choice)
    assert (
        text.startswith(f"chosen: {choice.name}") and "mmd weight=0 step=100" in text and "ruled out: entropy" in text
    )
    for column in (
        *READ,
        "own clusters",
        "information",
        "SND",
        "IWCV",
        "DEV",
        "DEVN",
        "reverse",
        "entropy",
        "diversity",
        "nuclear norm",
    ):
        assert column in text
        assert math.isfinite(choice.table[choice.name][column])


def test_z_is_mcnemars():
    a, b = torch.tensor([1, 1, 1, 1, 0, 0]).bool(), torch.tensor([0, 0, 0, 1, 1, 0]).bool()
    assert (
        mcnemar_z(a, b) == pytest.approx((3 - 1) / 2) and mcnemar_z(b, a) == -mcnemar_z(a, b) and mcnemar_z(a, a) == 0
    )


def test_bad_input():
    good, plain = model("dann", 0.9), model("plain", 0.6)
    with pytest.raises(ValueError, match="no choice may use target labels"):
        Candidate("dann", good.source, good.target._replace(labels=labels(TARGET)))
    with pytest.raises(ValueError, match="has no labels"):
        Candidate("dann", good.source._replace(labels=None), good.target)
    with pytest.raises(ValueError, match="is empty"):
        choose([], plain)
    with pytest.raises(ValueError, match="two candidates are"):
        choose([good, good], plain)
    with pytest.raises(ValueError, match="has seed 4"):
        choose([model("dann", 0.9, seed=4)], plain)
    with pytest.raises(ValueError, match="one candidate for each seed"):
        choose([good], [plain, plain])
    short = good.target._replace(outputs=good.target.outputs[1:], features=good.target.features[1:])
    with pytest.raises(ValueError, match="rows and classes of source-only"):
        choose([Candidate("dann", good.source, short)], plain)
    other = good.source._replace(labels=good.source.labels.flip(0))
    with pytest.raises(ValueError, match="predict the same rows"):
        choose([Candidate("dann", other, good.target)], plain)


def test_a_model_with_nan_is_ruled_out_not_an_error():
    good = model("dann", 0.9, key=7)
    broken = Candidate(
        "dann", good.source, good.target._replace(outputs=good.target.outputs * math.nan), {"weight": 99}
    )
    choice = choose([broken, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert choice.adapted and "training has failed" in choice.out["dann weight=99"]
    gone = Candidate("dann", good.source._replace(outputs=good.source.outputs * math.nan), good.target, {"weight": 98})
    choice = choose([gone, *(model(m, a) for m, a in SOUND)], model("plain", 0.6), others=False)
    assert "training has failed" in choice.out["dann weight=98"]


# ---- collapse ----


def logits_of(y, classes):
    return 5.0 * F.one_hot(y, classes)


def test_effective_classes():
    assert select.effective_classes(labels(100), CLASSES) == pytest.approx(5)
    assert select.effective_classes(torch.zeros(9, dtype=torch.int64), CLASSES) == 1


def test_collapse_sees_one_class_and_passes_half_of_them():
    source = labels(1000, classes=10)
    one = collapse(logits_of(torch.zeros(300, dtype=torch.int64), 10), source)
    assert "1.0 effective classes" in one[0] and "10.0" in one[0]
    assert collapse(logits_of(labels(300, classes=10), 10), source) == []
    assert collapse(logits_of(labels(300, classes=5), 10), source) == []
    assert collapse(logits_of(labels(300, classes=3), 10), source) != []


def test_collapse_with_two_classes():
    source = labels(100, classes=2)
    share = lambda ones: logits_of((torch.arange(100) < ones).long(), 2)  # noqa: E731
    assert collapse(share(12), source) == [] and collapse(share(4), source) != []


def test_an_implausible_mixture_unless_source_only_vouches():
    source = torch.tensor([0] * 45 + [1] * 45 + [2] * 5 + [3] * 5)
    target = logits_of(2 + labels(100, classes=2), 4)
    assert "change the class" in collapse(target, source)[0]
    assert collapse(target, source, source_only_logits=target) == []
    assert collapse(target, source, source_only_logits=logits_of(source, 4)) != []


def test_constant_features():
    y, x = labels(100), torch.randn(100, 4, generator=generator("x"))
    alive = collapse(logits_of(y, CLASSES), y, target_features=x + 50, source_features=x)
    flat = collapse(logits_of(y, CLASSES), y, target_features=1e-3 * x + 50, source_features=x)
    assert alive == [] and "hardly differ" in flat[0]
    assert collapse(logits_of(y, CLASSES), y, target_features=0 * x, source_features=0 * x) != []
    assert (
        "training has failed" in collapse(logits_of(y, CLASSES), y, target_features=x * math.nan, source_features=x)[0]
    )


# ---- the guard ----


def at_chance(key, **options):
    """Source-only with random classes on the target."""
    return model("plain", 1 / CLASSES, key=key, tight=0.5, **options)


def test_no_choice_where_source_only_is_at_chance_on_the_target():
    choice = choose([model(m, a) for m, a in SOUND], at_chance(0), others=False)
    assert choice.name == "no choice" and choice.chosen == [] and not choice.adapted
    assert "nothing in common with the clusters of any run: shared clusters 0.0" in choice.reasons[0]
    assert "no choice: label some target rows" in choice.reasons[-1] and "no choice" in str(choice).splitlines()[0]
    assert {"source-only", "mcc weight=0"} <= choice.table.keys(), "the scores are shown all the same"
    with pytest.raises(ValueError, match="there is no choice, so no model: the predictions of source-only"):
        choice.probabilities()
    two = [at_chance(0), at_chance(1, seed=1)]
    both = choose([model(m, a, seed=s) for m, a in SOUND for s in (0, 1)], two, others=False)
    assert any("agree on the target as by chance: kappa" in reason for reason in both.reasons)


def test_no_choice_where_source_only_has_not_learned_its_source():
    noise = model("plain", 0.8, source=1 / CLASSES)
    choice = choose([model(m, a, source=0.3) for m, a in SOUND], noise, others=False)
    assert (
        choice.name == "no choice"
        and "not clearly above chance on the held-out rows of the source itself" in choice.reasons[0]
    )
    fine = choose([model(m, a) for m, a in SOUND], model("plain", 0.8, source=0.4), others=False)
    assert fine.name != "no choice", "twice chance on 200 rows"


def test_the_error_of_the_balanced_accuracy_by_hand():
    from adapt.select._guard import source_doubts
    from adapt.select.signals import source_hits

    y = torch.tensor([0] * 30 + [1] * 5)
    for right, clear in ((5, True), (2, False)):
        z = F.one_hot(torch.tensor([0] * 30 + [1] * right + [0] * (5 - right)), 2).float()
        z[:6] = z[:6].flip(1)
        r = [24 / 30, right / 5]
        smooth = [(24 + 1) / 32, (right + 1) / 7]
        error = math.sqrt(sum(p * (1 - p) / n for p, n in zip(smooth, (30, 5), strict=True))) / 2
        assert (sum(r) / 2 - 1.644854 * error > 0.5) == clear
        plain = {0: Candidate("plain", Predictions(z, z, y), Predictions(z, z, None))}
        assert (source_doubts(plain, {0: source_hits(plain[0])}) == []) == clear


def swapped(target):
    """A model that takes two of two classes for each other: its predictions fit all clusters."""
    y = labels(TARGET, classes=2)
    made = model("plain", 0.9, y=1 - y, tight=0.5)
    return made, y


def test_a_few_target_labels_show_what_no_sign_without_labels_shows():
    plain, y = swapped(0.9)
    sure = [model(m, 0.9, y=1 - y, tight=0.5) for m, _ in SOUND]
    blind = choose(sure, plain, others=False)
    assert blind.name != "no choice", "below chance, and all scores are sound"
    rows = torch.arange(0, TARGET, 7)
    seen = choose(sure, plain, others=False, audit=(rows, y[rows]))
    assert seen.name == "no choice" and "the target rows with known labels: balanced accuracy 0." in seen.reasons[0]
    right = choose(sure, plain, others=False, audit=(rows, (1 - y)[rows]))
    assert right.name == blind.name and right.table == blind.table, "the labels rank nothing"
    with pytest.raises(ValueError, match="`audit` must be .* from 0 to 299"):
        choose(sure, plain, others=False, audit=(rows + 100, y[rows]))
    with pytest.raises(ValueError, match="a candidate may not be called `no choice`"):
        choose([unnamed("no choice")], plain, others=False)


def unnamed(method):
    made = model(method, 0.9)
    return Candidate(method, made.source, made.target)
