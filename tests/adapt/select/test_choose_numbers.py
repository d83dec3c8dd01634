"""The choice among regressors, on constructed candidates whose truth is known to the test alone."""

import math

import pytest
import torch
from scipy import stats

from adapt.engine import Predictions
from adapt.select import Candidate, choose, label_distance
from tests.adapt.select.test_choose import generator

SOURCE, TARGET = 120, 150


def draw(*key, rows):
    return torch.randn(rows, generator=generator(*key), dtype=torch.float64)


TRUTH = 10 + 2 * draw("truth", rows=TARGET)


def model(method, error, *, seed=0, bias=0.0, source=0.3, unit=1.0):
    """A regressor with about this error on the target, and the error `source` on the source."""
    y = 10 + 2 * draw("source", rows=SOURCE)
    f = y + source * draw(method, seed, "s", rows=SOURCE)
    t = TRUTH + bias + error * draw(method, seed, "t", rows=TARGET)
    features = [torch.stack([v, draw(method, seed, len(v), rows=len(v))], 1) for v in (f, t)]
    return Candidate(
        method, Predictions(unit * f, features[0], unit * y), Predictions(unit * t, features[1], None), seed=seed
    )


def audit(count, unit=1.0):
    rows = torch.randperm(TARGET, generator=generator("audit"))[:count]
    return rows, unit * TRUTH[rows]


def test_no_choice_without_target_labels_and_the_table_is_shown():
    plain, adapted = model("plain", 0.5, bias=2.0), [model("dan", 0.5), model("coral", 1.0)]
    choice = choose(adapted, plain)
    assert choice.name == "no choice" and choice.chosen == [] and not choice.adapted
    assert "label 20 to 30 target rows" in choice.reasons[0] and "for `dan`, the nearest" in choice.reasons[1]
    assert set(choice.table["dan"]) == {
        "source", "label distance", "reverse", "IWCV", "DEV", "DEVN", "rows behind DEV"
    }  # fmt: skip
    assert choice.table["dan"]["label distance"] == pytest.approx(
        label_distance(adapted[0].target.outputs, adapted[0].source.labels)
    )
    assert "IWCV" not in choose(adapted, plain, others=False).table["dan"] and "label distance" in str(choice)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_few_labels_tell_which_way_adaptation_helps(unit):
    bad, good = model("plain", 0.5, bias=2.0, unit=unit), model("plain", 0.4, unit=unit)
    adapted = [model("dan", 0.5, unit=unit), model("coral", 1.0, unit=unit)]
    helps = choose(adapted, bad, others=False, audit=audit(30, unit))
    assert helps.name == "dan" and helps.adapted and helps.chosen == [adapted[0]]
    assert "on 30 labelled target rows: a gain above" in helps.reasons[0]
    stays = choose(adapted, good, others=False, audit=audit(30, unit))
    assert stays.name == "source-only" and not stays.adapted and stays.chosen == [good]
    assert stays.table["dan"]["audit error"] == pytest.approx(helps.table["dan"]["audit error"])


def test_alike_labels_tell_which_way_without_a_target_label():
    bad, good, adapted = model("plain", 0.5, bias=2.0), model("plain", 0.5), [model("dan", 0.5), model("coral", 3.0)]
    helps, stays = (choose(adapted, p, others=False, labels_alike=True) for p in (bad, good))
    assert helps.name == "dan" and helps.adapted and stays.name == "source-only" and stays.chosen == [good]
    assert "label distance -0." in helps.reasons[0] and "needed is a difference of 0.1" in stays.reasons[0]
    unlearned = choose(adapted, model("plain", 0.3, source=6.0), others=False, labels_alike=True)
    assert unlearned.name == "no choice"
    from tests.adapt.select.test_choose import model as classifier

    with pytest.raises(ValueError, match="`labels_alike` is for regressors"):
        choose([classifier("dann", 0.8)], classifier("plain", 0.8), labels_alike=True)


def test_the_gain_by_hand():
    plain, adapted, (rows, y) = model("plain", 1.0), model("dan", 0.8), audit(12)
    deviation = plain.source.labels.std(correction=0)
    gain = ((plain.target.outputs[rows] - y).abs() - (adapted.target.outputs[rows] - y).abs()) / deviation
    low = stats.ttest_1samp(gain.numpy(), 0).confidence_interval(0.90).low  # two-sided 90 % is one-sided 95 %
    choice = choose([adapted], plain, others=False, audit=(rows, y))
    assert choice.adapted == (low > 0)
    assert choice.table["dan"]["audit error"] == pytest.approx(
        ((adapted.target.outputs[rows] - y).abs() / deviation).mean().item()
    )
    from adapt.select._choose_numbers import _low

    assert _low(gain) == pytest.approx(low) and _low(gain[:1]) == -math.inf


def test_seeds_are_averaged_and_predictions_are_their_mean():
    plain = [model("plain", 0.5, bias=2.0, seed=s) for s in (0, 1)]
    adapted = [model("dan", 0.5, seed=s) for s in (0, 1)] + [model("coral", 0.3, seed=0)]
    choice = choose(adapted, plain, others=False, audit=audit(30))
    assert choice.name == "dan" and len(choice.chosen) == 2 and choice.out == {"coral": "no outputs for seed 1"}
    mean = (adapted[0].target.outputs + adapted[1].target.outputs) / 2
    torch.testing.assert_close(choice.predictions(), mean)
    with pytest.raises(ValueError, match=r"no probabilities: `choice.predictions\(\)`"):
        choice.probabilities()


def test_no_choice_where_nothing_beats_the_mean_of_the_labels():
    lost, adapted = model("plain", 3.0, bias=4.0), [model("dan", 4.0)]
    choice = choose(adapted, lost, others=False, audit=audit(40))
    assert choice.name == "no choice" and "no model is better than the mean of the source's labels" in choice.reasons[0]
    unlearned = model("plain", 0.3, source=6.0)
    choice = choose(adapted, unlearned, others=False, audit=audit(40))
    assert choice.name == "no choice" and "nothing shows that the source was learned" in choice.reasons[0]


def test_a_failed_model_is_ruled_out():
    failed = model("dann", 0.1)
    failed.target.outputs[3] = math.nan
    choice = choose([failed, model("dan", 0.5)], model("plain", 0.5, bias=2.0), others=False, audit=audit(30))
    assert choice.name == "dan" and "training has failed" in choice.out["dann"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((torch.arange(3), torch.ones(2)), "same rows"),
        ((torch.arange(3), torch.ones(3, 2)), "same columns"),
        ((torch.tensor([0, TARGET]), torch.ones(2)), "from 0 to 149"),
        ((torch.arange(1), torch.ones(1)), "at least 2 target rows"),
        ((torch.arange(3), torch.tensor([1.0, math.nan, 1.0])), "`audit` must be finite"),
    ],
)
def test_bad_audits(given, message):
    with pytest.raises(ValueError, match=message):
        choose([model("dan", 0.5)], model("plain", 0.5), others=False, audit=given)
