"""Row 31 of the small inputs that failed: every numeric option of every public name refuses what is no value of it.

The test walks the public names. A new numeric option fails the test until `RANGES` names the range and `CALLS` shows a
working call of the function.
"""

import inspect
import re
from contextlib import suppress
from functools import partial
from types import ModuleType

import numpy
import pytest
import torch

import adapt
import losses
from adapt.engine import callbacks
from tests.option_calls import CALLS, trainer

NAN, INF = float("nan"), float("inf")
NO_NUMBER = [NAN, INF, -INF, True, "1", {}]
RANGES = {  # values that the range refuses, and a value that it allows
    "number": (NO_NUMBER, 1.0),
    "at least 0": ([*NO_NUMBER, -1.0], 0.5),
    "at least 1": ([*NO_NUMBER, -1.0, 0, 0.5], 1.0),
    "above 1": ([*NO_NUMBER, -1.0, 0, 1.0], 2.0),
    "positive": ([*NO_NUMBER, -1.0, 0], 0.5),
    "share": ([*NO_NUMBER, -0.5, 1.5], 0.5),
    "above 0": ([*NO_NUMBER, -0.5, 0, 1.5], 0.5),
    "below 1": ([*NO_NUMBER, -0.5, 1.0], 0.5),
    "between": ([*NO_NUMBER, -0.5, 0, 1.0], 0.5),
    "whole": ([*NO_NUMBER, 0.5], 1),
    "from 0": ([*NO_NUMBER, 0.5, -1], 1),
    "count": ([*NO_NUMBER, 1.5, -1, 0], 1),
    "at least 2": ([*NO_NUMBER, 1.5, -1, 0, 1], 2),
    "ten": ([*NO_NUMBER, 10.5, -1, 0, 9], 10),
    "at least 257": ([*NO_NUMBER, 257.5, -1, 0, 256], 257),
    "one or two": ([*NO_NUMBER, 1.5, 0, 3], 1),
    "three": ([*NO_NUMBER, 1.5, -1, 0, 1], 3),
    "one to five": ([*NO_NUMBER, 1.5, 0, 6, -1], 1),
    "depth": ([*NO_NUMBER, 20.5, 8.0, 21, 2, -4], 8),
    "column": ([NAN, INF, True, {}, 0.5, -1], 1),
    "no class": ([*NO_NUMBER, 0.5, 0, 2], -100),
}
# the range by the name of the option, then by the full name
OPTIONS = {
    "count": ["count", "size", "classes", "iterations", "steps", "directions", "neighbours", "dim", "feature_dim",
              "output_dim", "moments", "order", "n", "repeat", "accumulate", "watch_every", "log_every", "save_every",
              "keep", "epochs", "planned", "batch_size", "views", "most", "length", "stride", "hidden", "rows",
              "randomized", "depth", "rank", "channels", "width", "encoder", "outputs", "labels", "batches",
              "projection", "teacher_dim", "window", "components", "k", "block", "per_class", "repeats", "starts",
              "shots", "queries", "prefetch_factor", "bands", "hop", "tasks", "patience", "limit", "seeds", "budgets",
              "budget", "memory", "permutations", "episodes", "least", "least_ending", "words", "endings",
              "prototypes", "bottleneck", "beam", "global_views", "shape", "patch", "clusters", "splits", "expanded"],
    "positive": ["temperature", "student_temperature", "teacher_temperature", "assignment_temperature", "bandwidth",
                 "scales", "blur", "reach", "margin", "radius", "step", "alpha", "penalty", "scale", "xi",
                 "minimum_variance", "clip", "rate", "floor", "bound", "smoothing", "epsilon", "gamma", "step_size",
                 "top", "penalties", "pull", "sharpness", "smoothing", "concentration", "delta", "feature_penalty",
                 "signature_penalty"],
    "at least 0": ["focus", "redundancy", "invariance", "variance", "covariance", "smooth", "tradeoff", "strength",
                   "feature_weight", "label_weight", "weight", "encoder_scale", "schedule", "before", "after", "power",
                   "adversarial", "smooth_source", "smooth_target", "marginal", "conditional",
                   "labels_weight"],
    "share": ["beta", "balance", "threshold", "mixing", "label_smoothing", "end", "at", "share", "rest", "more",
              "unsure"],
    "below 1": ["momentum", "centre_momentum", "warmup", "validation", "test", "dropout", "noise"],
    "above 0": ["shares", "decay", "shrinkage", "last", "audit"],
    "between": ["quantiles", "ema", "until", "boundary", "false_accept", "level", "risk"],
    "number": ["interval", "fill"],
    "from 0": ["annealing", "queue", "workers", "seed", "own", "main", "first", "resamples", "halves", "rounds"],
    "at least 2": ["folds", "ways", "knots"],
}  # fmt: skip
OWN = {
    "adapt.report.diebold_mariano.lags": "from 0",
    "adapt.datasets.leak_check.horizon": "at least 0",
    "adapt.datasets.leak_check.near": "above 0",
    "adapt.datasets.vary_speech.bands": "from 0",
    "adapt.datasets.vary_speech.frames": "from 0",
    "adapt.datasets.vary_speech.tempo": "below 1",
    "adapt.datasets.vary_speech.tilt": "at least 0",
    "adapt.datasets.vary_speech.tract": "below 1",
    "adapt.datasets.walk_forward.embargo": "at least 0",
    "adapt.datasets.walk_forward.horizon": "at least 0",
    "adapt.datasets.walk_forward.folds": "count",
    "adapt.datasets.walk_forward.window": "positive",
    "losses.alignment.power": "positive",
    "losses.barlow_twins.epsilon": "at least 0",
    "losses.calibrate_temperature.limit": "above 1",
    "losses.dice.classes": "from 0",
    "losses.lovasz_softmax.classes": "from 0",
    "losses.domain_adversarial.label_smoothing": "below 1",
    "losses.multi_domain_adversarial.label_smoothing": "below 1",
    "losses.max_sliced_wasserstein.steps": "from 0",
    "losses.exact_transport.power": "at least 1",
    "losses.sliced_wasserstein.power": "at least 1",
    "losses.max_sliced_wasserstein.power": "at least 1",
    "losses.sinkhorn_divergence.power": "one or two",
    "adapt.ramp.top": "at least 0",
    "adapt.engine.inverse.gamma": "at least 0",
    "adapt.domain.wdgrl.penalty": "at least 0",
    "adapt.datasets.adaptation_pairs.count": "at least 2",
    "adapt.datasets.BytePairs.size": "at least 257",
    "adapt.encoders.cifar_resnet.depth": "depth",
    "adapt.datasets.audio.rate": "count",
    "adapt.datasets.class_pixels.classes": "at least 2",
    "adapt.datasets.corrupt.severity": "one to five",
    "adapt.datasets.fsdd.seconds": "positive",
    "adapt.datasets.masks.void": "from 0",
    "adapt.datasets.padded.value": "whole",
    "adapt.domain.class_thresholds.share": "between",
    "adapt.domain.masked_consistency.share": "between",
    "adapt.encoders.FrozenCopy.follow.momentum": "share",
    "adapt.encoders.columns.number": "count",
    "adapt.encoders.columns.layers": "count",
    "adapt.encoders.columns.heads": "count",
    "adapt.encoders.columns.column_dropout": "below 1",
    "adapt.encoders.small_gru.dim": "at least 2",
    "adapt.encoders.packaged_words.rate": "count",
    "adapt.encoders.mobilenet.width": "positive",
    "adapt.engine.callbacks.EarlyStopping.margin": "at least 0",
    "adapt.fewshot.label_propagation.share": "between",
    "adapt.fewshot.pt_map.rate": "above 0",
    "adapt.heads.Centred.axes": "from 0",
    "adapt.heads.Sequence.heads": "count",
    "adapt.heads.Sequence.label_smoothing": "below 1",
    "adapt.heads.Sequence.language": "from 0",
    "adapt.heads.Sequence.languages": "count",
    "adapt.heads.Sequence.layers": "count",
    "adapt.heads.Sequence.encoder_layers": "from 0",
    "adapt.heads.Sequence.penalty": "at least 0",
    "adapt.heads.Sequence.generate.language": "from 0",
    "adapt.heads.Sequence.generate.penalty": "at least 0",
    "adapt.heads.Sequence.predict.language": "from 0",
    "adapt.heads.TokenClassifier.missing": "no class",
    "adapt.heads.class_cross_entropy.missing": "whole",
    "adapt.heads.Classifier.classes": "at least 2",
    "adapt.heads.Classifier.weight": "at least 0",
    "adapt.heads.Classifier.label_smoothing": "below 1",
    "adapt.heads.Boxes.box_weight": "at least 0",
    "adapt.heads.Boxes.overlap": "share",
    "adapt.heads.Boxes.threshold": "below 1",
    "adapt.heads.Dense.classes": "at least 2",
    "adapt.heads.Dense.missing": "no class",
    "adapt.heads.Dense.weight": "at least 0",
    "adapt.heads.OneVsAll.classes": "at least 2",
    "adapt.heads.Ordinal.classes": "at least 2",
    "adapt.heads.TokenClassifier.classes": "at least 2",
    "adapt.fewshot.label_efficiency.rounds": "count",
    "adapt.fewshot.label_efficiency.share": "above 0",
    "adapt.fewshot.verify.rates": "above 0",
    "adapt.fewshot.verify.resamples": "count",
    "adapt.report.separation.resamples": "count",
    "adapt.transductive.which_shift.rows": "ten",
    "adapt.transductive.Drift.threshold": "positive",
    "adapt.transductive.Drift.window": "at least 2",
    "adapt.inductive.probe.classes": "three",
    "adapt.inductive.transfer.classes": "three",
    "adapt.inductive.interpolated_fine_tuning.classes": "three",
    "adapt.inductive.strategy.learn": "count",
    "adapt.inductive.transfer.learn": "count",
    "adapt.multitask.cagrad.radius": "at least 0",
    "adapt.multitask.famo.decay": "at least 0",
    "adapt.multitask.task.label": "column",
    "adapt.multitask.task.missing": "whole",
    "adapt.multitask.rows_with_label.label": "from 0",
    "adapt.multitask.rows_with_label.missing": "whole",
    "adapt.ranking.parc.rows": "at least 2",
    "adapt.report.discrepancy.rows": "ten",
    "adapt.report.layers.rows": "ten",
    "adapt.ranking.n_leep.variance": "above 0",
    "adapt.ranking.gbc.components": "count",
    "adapt.select.weighted_vote.shares": "at least 0",
    "adapt.unsupervised.lejepa.tradeoff": "share",
    "adapt.unsupervised.denoised_tokens.share": "between",
    "adapt.unsupervised.masked_reconstruction.share": "between",
    "adapt.unsupervised.masked_tokens.share": "between",
    "adapt.unsupervised.number_of_clusters.candidates": "at least 2",
    "adapt.unsupervised.number_of_clusters.resamples": "count",
    "adapt.unsupervised.number_of_clusters.threshold": "between",
    "adapt.unsupervised.scan.balance": "at least 0",
    "adapt.report.benefit.threshold": "number",
    "adapt.report.calibration.bins": "count",
    "adapt.report.critical_difference.level": "between",
    "adapt.select.Candidate.step": "from 0",
    "adapt.zeroshot.fit_signatures.calibration": "number",
    "adapt.zeroshot.mixture.pull": "at least 0",
    "adapt.zeroshot.sae.tradeoff": "positive",
    "adapt.transductive.aad.decay": "at least 0",
    "adapt.transductive.cbst.first": "above 0",
    "adapt.transductive.confident_labels.share": "above 0",
    "adapt.transductive.label_propagation.share": "between",
    "adapt.transductive.self_training.first": "above 0",
    "adapt.transductive.self_training.rounds": "count",
    "adapt.transductive.source_free.learn": "count",
    "adapt.transductive.Clock.cost": "at least 1",
    "adapt.transductive.Clock.seconds": "positive",
    "adapt.transductive.Guard.margin": "at least 0",
    "adapt.transductive.Guard.softness": "positive",
    "adapt.transductive.Guard.collapse": "at least 0",
    "adapt.transductive.Guard.spread": "at least 0",
    "adapt.transductive.Guard.order": "at least 0",
    "adapt.transductive.adabn.prior": "at least 0",
    "adapt.transductive.arrivals.domains": "count",
    "adapt.transductive.arrivals.levels": "count",
    "adapt.transductive.arrivals.concentration": "at least 0",
    "adapt.transductive.eata.reliable": "positive",
    "adapt.transductive.eata.redundant": "positive",
    "adapt.transductive.rdumb.every": "count",
    "adapt.transductive.roid.momentum": "above 0",
    "adapt.transductive.sar.reliable": "positive",
    "adapt.transductive.sar.recovery": "at least 0",
}
NO_OPTIONS = {  # results and data, which no caller chooses; readers of files have tests beside their files
    "adapt.datasets.BoxRows", "adapt.datasets.MaskRows", "adapt.datasets.Preparation", "adapt.datasets.Tagged",
    "adapt.datasets.TaggedWords",
    "adapt.datasets.padded.rows", "adapt.datasets.leak_check.known",
    "adapt.encoders.DualEncoder", "adapt.encoders.word_tokens.tags", "adapt.encoders.Encoder.dims",  # test_pyramid.py
    "adapt.datasets.BytePairs.texts",
    "adapt.datasets.SparseRows", "adapt.encoders.WordVectors.duplicates", "adapt.encoders.WordVectors.malformed",
    "adapt.engine.Step", "adapt.heads.Score", "adapt.inductive.Interpolated", "adapt.inductive.Probe",
    "adapt.ranking.Cost", "adapt.ranking.Row", "adapt.report.Comparison", "adapt.report.accuracy_bars.scores",
    "adapt.report.Cell", "adapt.report.Experiment", "adapt.report.Interval", "adapt.report.Outcome",
    "adapt.report.Record", "adapt.report.compare", "adapt.report.delta_m", "adapt.report.mean_interval",
    "adapt.select.Choice", "adapt.Stream.batches", "adapt.Stream.indices", "adapt.domain.DomainNorm",
    "adapt.multitask.FromGramian", "adapt.fewshot.Inductive", "adapt.fewshot.pt_map.prior",
    "adapt.heads.wrap.count", "adapt.Stream.sampling", "adapt.inductive.interpolated_fine_tuning.learn",
    "adapt.Stream.lengths",  # test_similar_lengths.py
    "adapt.heads.Spans", "adapt.heads.Sequence.text",
    "adapt.engine.callbacks.Logged", "adapt.engine.callbacks.EarlyStopping.follow", "adapt.engine.callbacks.KeepBest",
    "adapt.report.curves", "adapt.report.feature_map", "adapt.report.regret_dots", "adapt.report.score_dots",  # draw
    "adapt.report.DieboldMariano",
    "adapt.report.Discrepancy", "adapt.report.Flops", "adapt.report.LabelShift", "adapt.report.Parameters",
    "adapt.transductive.Shares", "adapt.transductive.Alarm",
    "adapt.transductive.Shift",
    "adapt.report.Benefit", "adapt.report.Bin", "adapt.report.Calibration", "adapt.report.CriticalDifference",
    "adapt.report.Separation", "adapt.report.TextGap",
    "adapt.report.Group", "adapt.report.benefit.transfer", "adapt.report.benefit.scratch",
    "adapt.report.benefit.budgets", "adapt.report.calibration.probabilities", "adapt.report.calibration.labels",
    "adapt.report.critical_difference.scores",
    "adapt.unsupervised.ClusterScores", "adapt.unsupervised.NumberOfClusters",
    "adapt.fewshot.LabelEfficiency", "adapt.fewshot.Pool", "adapt.fewshot.Verification",
    "adapt.report.Spent", "adapt.report.adversary", "adapt.report.trained_enough",
    "adapt.transductive.Clock.spent", "adapt.transductive.Guard.start",
}  # fmt: skip
RIGHT = {
    "adapt.domain.adabn.batch_size": 4,
    "adapt.heads.Detector.classes": 2,
    "adapt.heads.Sequence.width": 8,
    "adapt.ranking.parc.rows": 10,
    "adapt.ranking.rank.halves": 2,
    "adapt.report.experiment.workers": 0,  # a process takes seconds to start
}
RANGE_OF = {name: kind for kind, names in OPTIONS.items() for name in names}
SEQUENCES = {
    "adapt.fewshot.verify.rates",
    "scales",
    "quantiles",
    "interval",
    "penalties",
    "shares",
    "budgets",
    "losses.dice.classes",
    "adapt.heads.Classifier.weight",
    "adapt.heads.Dense.weight",
    "adapt.inductive.probe.weight",
    "adapt.inductive.transfer.weight",
    "losses.lovasz_softmax.classes",
    "shape",
    "patch",
    "candidates",
}


def public():
    """Every public function, class and method, once, by its full name."""
    rooms = [getattr(adapt, name) for name in adapt.__all__]
    rooms = [losses, adapt, callbacks, *(room for room in rooms if isinstance(room, ModuleType))]
    found = {}
    for room in rooms:
        for name in room.__all__:
            thing = getattr(room, name)
            if inspect.isfunction(thing) or (isinstance(thing, type) and not issubclass(thing, Exception)):
                found.setdefault(thing, f"{room.__name__}.{name}")
    methods = {
        f"{name}.{method}": function
        for thing, name in found.items()
        if isinstance(thing, type)
        for method, function in vars(thing).items()
        if inspect.isfunction(function) and method[0] != "_"
    }
    return {name: thing for thing, name in found.items()} | methods


PUBLIC = public()


def options():
    return [
        (name, p.name)
        for name, thing in PUBLIC.items()
        for p in inspect.signature(thing).parameters.values()
        if re.search(r"\b(int|float|Schedule)\b", str(p.annotation))
    ]


def is_an_option(name, option):
    full = f"{name}.{option}"
    return not any(full == other or full.startswith(f"{other}.") for other in NO_OPTIONS)


def range_of(name, option):
    return OWN.get(f"{name}.{option}", RANGE_OF.get(option))


def may_be_none(name, option):
    return "None" in str(inspect.signature(PUBLIC[name]).parameters[option].annotation)


def test_no_exception_is_forgotten():
    known = {f"{name}.{option}" for name, option in options()}
    assert OWN.keys() <= known
    assert all(any(f"{full}.".startswith(f"{other}.") for full in known) for other in NO_OPTIONS)


@pytest.mark.parametrize(("name", "option"), [o for o in options() if is_an_option(*o)])
def test_what_is_no_value_of_an_option_is_refused(name, option):
    kind = range_of(name, option)
    assert kind is not None, f"`{option}` of {name} has no range: name one in OPTIONS or OWN"
    assert name in CALLS, f"{name} has no working call: write one in option_calls.py"
    wrong, right = RANGES[kind]
    right = RIGHT.get(f"{name}.{option}", right)
    sequence = bool({option, f"{name}.{option}"} & SEQUENCES)
    for value in [*([[v] for v in wrong] if sequence else wrong), *([[]] if sequence else []),
                  *([] if may_be_none(name, option) else [None])]:  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=rf"`{option}`.*(must|got)"):
            CALLS[name](**{option: value})
    if not sequence:
        as_numpy = (numpy.float32, numpy.float64) if isinstance(right, float) else (numpy.int32, numpy.int64)
        for kind_of_number in (type(right), *as_numpy):
            with suppress(FileNotFoundError, ImportError):  # of files and of packages, behind the look at the options
                CALLS[name](**{option: kind_of_number(right)})


NUMPY = {
    "rate": {"optimizer": partial(torch.optim.AdamW, lr=numpy.logspace(-4, -2, 3)[1], betas=(numpy.float64(0.5), 0.9))},
    "rate in a group": {"optimizer": lambda groups: torch.optim.SGD([{**g, "lr": numpy.float32(0.1)} for g in groups])},
    "clip": {"clip": numpy.float64(1)},
    "ema": {"ema": numpy.float32(0.5)},
    "schedule": {"schedule": numpy.float64(0.5)},
    "function": {"schedule": lambda progress: numpy.cos(progress)},
    "scale": {"encoder_scale": numpy.float32(0.5)},
    "scales": {"encoder_scale": {"0": numpy.float32(0.5), "2": numpy.float64(0.5)}},
    "accumulate": {"accumulate": numpy.int64(2)},
    "seed": {"seed": numpy.uint8(3)},
    "steps": {"save_every": numpy.int64(2), "keep": numpy.int64(1), "log_every": numpy.int32(1)},
}


@pytest.mark.parametrize("name", NUMPY)
def test_a_run_with_numbers_of_numpy_goes_on(name, tmp_path):
    """Row 32: the checkpoint can be read, and the run is the run with plain numbers."""
    whole = trainer(**NUMPY[name]).fit(4)
    trainer(log=tmp_path, **NUMPY[name]).fit(numpy.int64(2), planned=numpy.int32(4))
    again = trainer(log=tmp_path, **NUMPY[name]).resume().fit(4)
    for a, b in zip(again.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_numbers_of_numpy_draw_as_plain_numbers():
    """Row 32: the order of rows, and the weights of a run, do not depend on the kind of the seed."""
    plain, other = trainer(seed=3).fit(2), trainer(seed=numpy.int16(3)).fit(2)
    for a, b in zip(plain.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert trainer(clip=numpy.float64(0.5)).settings == trainer(clip=0.5).settings
