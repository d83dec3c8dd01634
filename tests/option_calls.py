"""A working call of every public function and class with a numeric option, for :mod:`tests.test_options`.

Each entry takes options and calls its function with the smallest arguments that work.
"""

import tempfile
from functools import partial

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import (
    Model,
    Phase,
    Stream,
    Term,
    Trainer,
    datasets,
    domain,
    encoders,
    engine,
    fewshot,
    heads,
    inductive,
    multitask,
    ranking,
    report,
    select,
    streams,
    transductive,
    unsupervised,
    zeroshot,
)
from adapt.engine.callbacks import EarlyStopping
from tests.adapt.domain.test_signature import make, parts
from tests.adapt.encoders import test_mix_layers
from tests.adapt.encoders.test_word_tokens import fast
from tests.adapt.encoders.tiny import bert
from tests.adapt.engine.tiny import cloud
from tests.adapt.unsupervised.test_texts import Tokens as Words


def seeded():
    return torch.Generator().manual_seed(0)


FOLDER = tempfile.TemporaryDirectory()  # removed at the end of the process
X, Y = torch.randn(6, 4, generator=seeded()), torch.randn(6, 4, generator=seeded()) + 0.5
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
LOGITS, OTHER = 2 * X[:, :3], 2 * Y[:, :3]
ONE = X[:, 0]
MASK = torch.randint(3, (2, 4), generator=seeded()), torch.randn(2, 3, 4, generator=seeded())
EYE = torch.eye(4)

LOSSES = {
    "Centre": partial(losses.Centre, size=3),
    "FlexMatch": partial(losses.FlexMatch, size=5, classes=3),
    "NeighbourhoodBank": partial(losses.NeighbourhoodBank, size=5, dim=4, classes=3),
    "RandomMultilinearMap": partial(losses.RandomMultilinearMap, feature_dim=4, classes=3, generator=seeded()),
    "alignment": partial(losses.alignment, X, Y),
    "balanced_class_weights": partial(losses.balanced_class_weights, torch.tensor([1, 3]), beta=0.5),
    "barlow_twins": partial(losses.barlow_twins, X, Y),
    "batch_spectral_penalization": partial(losses.batch_spectral_penalization, X, Y),
    "batch_spectral_shrinkage": partial(losses.batch_spectral_shrinkage, X),
    "binary_focal": partial(losses.binary_focal, ONE, LABELS > 0),
    "calibrate_temperature": partial(losses.calibrate_temperature, LOGITS, LABELS),
    "central_moment_discrepancy": partial(losses.central_moment_discrepancy, X, Y),
    "consistency": partial(losses.consistency, LOGITS, OTHER),
    "contrastive_domain_discrepancy": partial(
        losses.contrastive_domain_discrepancy, X, Y, LABELS, LABELS, classes=3
    ),
    "dice": partial(losses.dice, MASK[1], MASK[0]),
    "distillation": partial(losses.distillation, LOGITS, OTHER),
    "domain_adversarial": partial(losses.domain_adversarial, ONE, ONE),
    "draw_mixup": partial(losses.draw_mixup, n=3, alpha=0.2, generator=seeded()),
    "exact_transport": partial(losses.exact_transport, X, Y),
    "fixmatch": partial(losses.fixmatch, LOGITS, OTHER),
    "focal": partial(losses.focal, LOGITS, LABELS),
    "gaussian_likelihood": partial(losses.gaussian_likelihood, ONE, ONE, ONE),
    "hard_feature_norm": partial(losses.hard_feature_norm, X),
    "higher_order_moment_matching": partial(losses.higher_order_moment_matching, X, Y),
    "info_nce": partial(losses.info_nce, X, Y),
    "joint_mmd": partial(losses.joint_mmd, [X], [Y]),
    "joint_transport": partial(losses.joint_transport, X, Y, LABELS, OTHER, plan="sinkhorn"),
    "learn_relationship": partial(losses.learn_relationship, LOGITS, LABELS, classes=3),
    "local_mmd": partial(losses.local_mmd, X, Y, LABELS, OTHER),
    "logit_adjusted_cross_entropy": partial(
        losses.logit_adjusted_cross_entropy, LOGITS, LABELS, class_counts=torch.tensor([1.0, 2.0, 3.0])
    ),
    "lovasz_softmax": partial(losses.lovasz_softmax, MASK[1], MASK[0]),
    "margin_disparity": partial(losses.margin_disparity, LOGITS, OTHER, LOGITS, OTHER),
    "max_sliced_wasserstein": partial(losses.max_sliced_wasserstein, X, Y, generator=seeded()),
    "minimum_class_confusion": partial(losses.minimum_class_confusion, LOGITS),
    "mixup": partial(losses.mixup, X, torch.arange(6), mixing=0.5),
    "mixup_cross_entropy": partial(losses.mixup_cross_entropy, LOGITS, LABELS, LABELS, mixing=0.5),
    "mmd": partial(losses.mmd, X, Y),
    "multi_domain_adversarial": partial(losses.multi_domain_adversarial, LOGITS, LABELS),
    "neighbourhood_aggregation": partial(losses.neighbourhood_aggregation, X, LOGITS, Y, OTHER.softmax(1)),
    "neighbourhood_components": partial(losses.neighbourhood_components, X, LABELS),
    "nt_xent": partial(losses.nt_xent, X, Y),
    "prototypes": partial(losses.prototypes, X, LABELS, classes=3),
    "prototypical": partial(losses.prototypical, X, LABELS, Y, LABELS, classes=3),
    "pseudo_label": partial(losses.pseudo_label, LOGITS, OTHER),
    "quantile": partial(losses.quantile, X[:, :2], ONE, quantiles=(0.1, 0.9)),
    "regression_disparity": partial(losses.regression_disparity, X, Y, X, Y),
    "representation_subspace_distance": partial(losses.representation_subspace_distance, X[:3], Y[:3]),
    "reverse": partial(losses.reverse, X),
    "ridge": partial(losses.ridge, X, LABELS, Y, LABELS, classes=3),
    "ridge_weights": partial(losses.ridge_weights, X, LABELS, classes=3),
    "self_distillation": partial(losses.self_distillation, LOGITS, OTHER, torch.zeros(3)),
    "semantic_alignment": partial(losses.semantic_alignment, X, Y, LABELS, LABELS),
    "sigreg": partial(losses.sigreg, X, generator=seeded()),
    "sinkhorn_assignment": partial(losses.sinkhorn_assignment, LOGITS),
    "sinkhorn_divergence": partial(losses.sinkhorn_divergence, X, Y),
    "sliced_wasserstein": partial(losses.sliced_wasserstein, X, Y, generator=seeded()),
    "sliced_wasserstein_discrepancy": partial(
        losses.sliced_wasserstein_discrepancy, LOGITS, OTHER, generator=seeded()
    ),
    "stepwise_feature_norm": partial(losses.stepwise_feature_norm, X),
    "supervised_contrastive": partial(losses.supervised_contrastive, X, LABELS),
    "swapped_prediction": partial(losses.swapped_prediction, LOGITS, OTHER),
    "triplet": partial(losses.triplet, X, LABELS),
    "uniformity": partial(losses.uniformity, X),
    "vicreg": partial(losses.vicreg, X, Y),
    "virtual_adversarial": partial(
        losses.virtual_adversarial, lambda x: x[:, :3], X, radius=1.0, generator=seeded()
    ),
    "weighted_cross_entropy": partial(losses.weighted_cross_entropy, LOGITS, LABELS),
}  # fmt: skip
CALLS = {f"losses.{name}": call for name, call in LOSSES.items()}


def network():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    return encoders.Encoder(body, 4, layers=["0", "2"], head=nn.Linear(4, 3))


def kept_states(**options):
    with tempfile.TemporaryDirectory() as folder:
        return encoders.keep_states(test_mix_layers.model(), test_mix_layers.rows(), folder, **options)


def writer():
    return heads.Sequence(4, ["", "a"], width=8, languages=["de", "fr"])


def trainer(**options):
    encoder, head = network(), heads.Classifier(4, 3)
    terms = [adapt.supervised(head, "source")]
    return Trainer(encoder, terms, {"source": Stream(cloud(), 12)}, progress=False, device="cpu", **options)


def term(step):
    return step["source"].features.sum()


def of_trainer(method, **fixed):
    """Return a call of a method of a trainer on its head and data."""
    made = trainer()
    return lambda **options: getattr(made, method)(made.terms[0].loss.head, cloud(), **fixed, **options)


def of_model(method, inputs):
    made = trainer()
    model = made.model(made.terms[0].loss.head)
    return lambda **options: getattr(model, method)(inputs, **options)


def fitted(**options):
    return trainer().fit(**options if options.keys() & {"steps", "epochs"} else {"steps": 1} | options)


def looped(**options):
    return list(trainer().steps(**options if options.keys() & {"steps", "epochs"} else {"steps": 1} | options))


def kind(options):
    """Return the number of classes, unless the options say that numbers are predicted."""
    return {} if "outputs" in options else {"classes": 3}


def rows(options):
    """Return rows with classes, or with numbers where the options say so."""
    return TensorDataset(ROWS.tensors[0], ROWS.tensors[0][:, 0]) if "outputs" in options else ROWS


ROWS = TensorDataset(torch.randn(12, 6, generator=seeded()), torch.arange(12) % 3)
FEATURES = torch.randn(12, 6, generator=seeded())
SHARES = torch.full((12, 2), 0.5)
SAMPLE = ranking.Sample(X.repeat(4, 1) + 0.1 * torch.randn(24, 4, generator=seeded()), LABELS.repeat(4))
SIX = engine.Predictions(LOGITS, X, LABELS)
NO_LABELS = SIX._replace(labels=None)
HEAD, SHARED = heads.Classifier(4, 3), heads.Experts(4, 2, hidden=3)
VECTORS = encoders.WordVectors(["a", "b"], torch.eye(2))
PLAIN = {
    "domain.adabn": lambda **o: domain.adabn(nn.Sequential(nn.BatchNorm1d(6)), ROWS, **o),
    "Phase": lambda **o: Phase([Term("t", term)], **o),
    "Stream": lambda **o: Stream(ROWS, **{"batch_size": 4, "workers": int("prefetch_factor" in o)} | o),
    "Term": lambda **o: Term("t", term, **o),
    "Trainer": trainer,
    "Trainer.fit": fitted,
    "Trainer.steps": looped,
    "Trainer.predict": of_trainer("predict"),
    "Trainer.evaluate": of_trainer("evaluate"),
    "Model.predict": of_model("predict", cloud().tensors[0]),
    "Model.probabilities": of_model("probabilities", cloud().tensors[0]),
    "Model.outputs": of_model("outputs", cloud().tensors[0]),
    "Model.evaluate": of_model("evaluate", cloud()),
    "ramp": adapt.ramp,
    "supervised": lambda **o: adapt.supervised(HEAD, "source", **o),
    "engine.cosine": engine.cosine,
    "engine.inverse": engine.inverse,
    "engine.switch": lambda **o: engine.switch(**{"before": 0.0, "after": 1.0, "at": 0.5} | o),
    "engine.features": lambda **o: engine.features(network(), ROWS, augment=lambda x: x, **o),
    "engine.measure": lambda **o: engine.measure(network(), HEAD, ROWS, **o),
    "engine.predict": lambda **o: engine.predict(network(), HEAD, ROWS, **o),
    "engine.callbacks.EarlyStopping": lambda **o: EarlyStopping("source", **o),
    "datasets.adaptation_pairs": lambda **o: datasets.adaptation_pairs({1: "abc", 2: "ab"}, **o),
    "datasets.BytePairs": lambda **o: datasets.BytePairs(["ein Hund"], **o),
    "datasets.BytePairs.numbers": lambda **o: datasets.BytePairs(["ein Hund"], size=257).numbers(["ein"], **o),
    "datasets.corrupt": lambda **o: datasets.corrupt(torch.zeros(1, 3, 8, 8), "contrast", **o),
    "datasets.splits": lambda **o: datasets.splits(ROWS, "s", **o),
    "datasets.leak_check": lambda **o: datasets.leak_check(X[:3], X[3:], times=(range(3), range(3, 6)), **o),
    "report.text_gap": lambda **o: report.text_gap(["a b c"] * 9, ["a b"] * 9, **{"words": 9} | o),
    "report.separation": lambda **o: report.separation([1.0, 2.0], [0, 1], **o),
    "report.diebold_mariano": lambda **o: report.diebold_mariano([1.0, 2, 4, 3], [2.0, 1, 3, 3], **o),
    "datasets.walk_forward": lambda **o: datasets.walk_forward(torch.arange(9) / 2, **{"folds": 2} | o),
    "datasets.table": lambda **o: datasets.table({"age": [30], "ill": ["no"]}, "ill", **o),
    "datasets.texts": lambda **o: datasets.texts(["a"], **o),
    "datasets.vary_speech": lambda **o: datasets.vary_speech(torch.zeros(1, 9, 9), **o),
    "datasets.log_mel": lambda **o: datasets.log_mel(torch.zeros(300), **{"rate": 8000} | o),
    "datasets.Vocabulary": lambda **o: datasets.Vocabulary([["a"]], **o),
    "datasets.Vocabulary.numbers": lambda **o: datasets.Vocabulary([["a"]]).numbers([["a"]], **o),
    "datasets.WordForms": lambda **o: datasets.WordForms([["a"]], **o),
    "datasets.WordForms.numbers": lambda **o: datasets.WordForms([["a"]]).numbers([["a"]], **o),
    "datasets.padded": lambda **o: datasets.padded([[1]], **{"length": 2} | o),
    "datasets.windows": lambda **o: datasets.windows([0.0, 1, 2, 3], **{"length": 2} | o),
    "datasets.audio": lambda **o: datasets.audio("nowhere", **{"rate": 8000} | o),
    "datasets.class_pixels": lambda **o: datasets.class_pixels(**{"data": [], "classes": 3} | o),
    "datasets.rare_class_weights": lambda **o: datasets.rare_class_weights(torch.tensor([[9, 1], [9, 2]]), **o),
    "datasets.fourier_style": lambda **o: datasets.fourier_style([torch.zeros(3, 4, 4)], **o),
    "datasets.boxes": lambda **o: datasets.boxes("nowhere", "nowhere", **o),
    "datasets.fsdd": lambda **o: datasets.fsdd("nowhere", **o),
    "datasets.images": lambda **o: datasets.images("nowhere", **o),
    "datasets.masks": lambda **o: datasets.masks("nowhere", "nowhere", **o),
    "datasets.omniglot_runs": lambda **o: datasets.omniglot_runs("nowhere", **o),
    "datasets.omniglot": lambda **o: datasets.omniglot(root="nowhere", **o),
    "encoders.sentences": lambda **o: encoders.sentences(["a"], model="nowhere", **o),
    "encoders.word_vectors": lambda **o: encoders.word_vectors("nowhere", **o),
    "encoders.detector": lambda **o: encoders.detector(**{"name": "ssdlite320_mobilenet_v3_large", "classes": 2} | o),
    "encoders.FrozenCopy.follow": lambda **o: encoders.FrozenCopy(HEAD).follow(HEAD, **{"momentum": 0.9} | o),
    "encoders.Encoder": lambda **o: encoders.Encoder(nn.Identity(), **o),
    "encoders.WordVectors.nearest": lambda **o: VECTORS.nearest(VECTORS.words[0], **o),
    "encoders.WordVectors.ids": lambda **o: VECTORS.ids(["a b"], **o),
    "encoders.callable": lambda **o: encoders.callable(lambda x: x, **o, name="n", fingerprint="1"),
    "encoders.cifar_resnet": encoders.cifar_resnet,
    "encoders.columns": lambda **o: encoders.columns(**{"number": 3, "heads": 1} | o),
    "encoders.from_transformers": lambda **o: encoders.from_transformers("nowhere", **o),
    "encoders.interpolate": lambda **o: encoders.interpolate({"w": torch.zeros(1)}, {"w": torch.ones(1)}, **o),
    "encoders.keep_states": lambda **o: kept_states(**o),
    "encoders.contextual_word_vectors": lambda **o: encoders.contextual_word_vectors(
        ["a"], encoders.from_transformers(bert(), pool="tokens"), fast(), **{"least": 1, "length": 4} | o
    ),
    "encoders.learn_word_vectors": lambda **o: encoders.learn_word_vectors(["a b c"], **{"dim": 2, "least": 1} | o),
    "encoders.lora": lambda **o: encoders.lora(network(), **o),
    "encoders.mobilenet": encoders.mobilenet,
    "encoders.frames": lambda **o: encoders.frames(encoders.wrap(nn.Identity(), 2), pool=nn.Identity(), **o),
    "encoders.packaged_words": encoders.packaged_words,
    "encoders.small_conv": encoders.small_conv,
    "encoders.small_gru": lambda **o: encoders.small_gru(**{"words": 3, "endings": 2} | o),
    "encoders.task_lora": lambda **o: encoders.task_lora(network(), ["a"], **o),
    "encoders.by_word": lambda **o: encoders.by_word(encoders.wrap(nn.Linear(4, 4), 4), **o),
    "encoders.word_tokens": lambda **o: encoders.word_tokens([["a"]], fast(), **{"length": 4} | o),
    "encoders.tokens": lambda **o: encoders.tokens(["a"], lambda *_, **__: {"input_ids": torch.ones(1, 2)}, **o),
    "encoders.wrap": lambda **o: encoders.wrap(nn.Identity(), **o),
    "fewshot.alpha_tim": fewshot.alpha_tim,
    "fewshot.bd_cspn": fewshot.bd_cspn,
    "fewshot.centroid": fewshot.centroid,
    "fewshot.cl2n": fewshot.cl2n,
    "fewshot.episodic": lambda **o: fewshot.episodic("tasks", **o),
    "fewshot.evaluate": lambda **o: fewshot.evaluate(
        ROWS, {"a": fewshot.cl2n()}, **{"ways": 2, "shots": 1, "queries": 1, "episodes": 2} | o
    ),
    "fewshot.fit": lambda **o: fewshot.fit(network(), ROWS, **{"unknown": FEATURES} | o),
    "fewshot.label_efficiency": lambda **o: fewshot.label_efficiency(
        X, LABELS, Y, LABELS, **{"budget": 1, "rounds": 1, "seeds": 1} | o
    ),
    "fewshot.verify": lambda **o: fewshot.verify(X, LABELS, **{"resamples": 2} | o),
    "fewshot.query": lambda **o: fewshot.query(X, LOGITS.softmax(1), None, **{"budget": 2} | o),
    "fewshot.label_propagation": fewshot.label_propagation,
    "fewshot.laplacian_shot": fewshot.laplacian_shot,
    "fewshot.lda": fewshot.lda,
    "fewshot.logistic": fewshot.logistic,
    "fewshot.pt_map": lambda **o: fewshot.pt_map(prior="uniform", **o),
    "fewshot.ridge": fewshot.ridge,
    "fewshot.text_probe": lambda **o: fewshot.text_probe(EYE, **o),
    "fewshot.whitening": lambda **o: fewshot.whitening(ROWS, **o),
    "fewshot.transduce": lambda **o: fewshot.transduce(network(), ROWS, queries=FEATURES, **o),
    "heads.Attention": lambda **o: heads.Attention(**{"encoder": 4} | o),
    "heads.Bottleneck": lambda **o: heads.Bottleneck(**{"encoder": 4} | o),
    "heads.Boxes": lambda **o: heads.Boxes(**{"encoder": 4, "classes": 3, "stride": 8} | o),
    "heads.Centred": lambda **o: heads.Centred(**{"encoder": 4} | o),
    "heads.Classifier": lambda **o: heads.Classifier(**{"encoder": 4, "classes": 3} | o),
    "heads.Dense": lambda **o: heads.Dense(**{"encoder": 4, "classes": 3} | o),
    "heads.Detector": lambda **o: heads.Detector(
        **{"encoder": encoders.detector("ssdlite320_mobilenet_v3_large", 2), "classes": 2} | o
    ),
    "heads.Discriminator": lambda **o: heads.Discriminator(**{"encoder": 4} | o),
    "heads.Experts": lambda **o: heads.Experts(**{"encoder": 4} | o),
    "heads.Gated": lambda **o: heads.Gated(SHARED, **o),
    "heads.MultiLabel": lambda **o: heads.MultiLabel(**{"encoder": 4, "labels": 3} | o),
    "heads.Ordinal": lambda **o: heads.Ordinal(**{"encoder": 4, "classes": 3} | o),
    "heads.OneVsAll": lambda **o: heads.OneVsAll(**{"encoder": 4, "classes": 3} | o),
    "heads.Regressor": lambda **o: heads.Regressor(**{"encoder": 4} | o),
    "heads.Sequence": lambda **o: heads.Sequence(
        **{"encoder": 4, "words": ["", "a"], "width": 8, "languages": ["de", "fr"]} | o
    ),
    "heads.Sequence.generate": lambda **o: writer().generate(torch.zeros(1, 2, 8), **o),
    "heads.Sequence.predict": lambda **o: writer().predict(torch.zeros(1, 2, 8), **o),
    "heads.TokenClassifier": lambda **o: heads.TokenClassifier(**{"encoder": 4, "classes": 3} | o),
    "heads.class_cross_entropy": lambda **o: heads.class_cross_entropy(LOGITS, LABELS, **o),
    "inductive.bss": lambda **o: inductive.bss(on="target", **o),
    "inductive.channel_attention": lambda **o: inductive.channel_attention(network(), HEAD, ROWS, **o),
    "inductive.co_tuning": lambda **o: inductive.co_tuning(network(), on="t", relationship=torch.ones(3, 3), **o),
    "inductive.delta": lambda **o: inductive.delta(network(), on="target", **o),
    "inductive.develop": lambda **o: inductive.develop(network(), HEAD, ROWS, ROWS, **{"steps": 1} | o),
    "inductive.distillation": lambda **o: inductive.distillation(HEAD, teacher=nn.Linear(6, 3), on="target", **o),
    "inductive.feature_distillation": lambda **o: inductive.feature_distillation(
        **{"encoder": 4, "teacher_dim": 6} | o, teacher=nn.Linear(6, 4), on="target"
    ),
    "inductive.gradual": lambda **o: inductive.gradual(network(), **o),
    "inductive.interpolated_fine_tuning": lambda **o: inductive.interpolated_fine_tuning(
        network(), rows(o), **kind(o) | {"epochs": 1, "folds": 2, "shares": [1.0]} | o
    ),
    "inductive.l2_sp": lambda **o: inductive.l2_sp(network(), **o),
    "inductive.layer_decay": lambda **o: inductive.layer_decay(network(), **o),
    "inductive.lwf": lambda **o: inductive.lwf(network(), on="target", **o),
    "inductive.probe": lambda **o: inductive.probe(X, ONE if "outputs" in o else LABELS, **kind(o) | o),
    "inductive.relationship": lambda **o: inductive.relationship(network(), ROWS, **{"classes": 3} | o),
    "inductive.strategy": lambda **o: inductive.strategy(network(), **o),
    "inductive.supervised_contrastive": lambda **o: inductive.supervised_contrastive(**{"encoder": 4} | o, on="t"),
    "inductive.surgical": lambda **o: inductive.surgical(network(), HEAD, ROWS, **o),
    "inductive.transfer": lambda **o: inductive.transfer(
        network(), rows(o), **kind(o) | {"learn": "full", "epochs": 1} | o
    ),
    "multitask.auxiliary": multitask.auxiliary,
    "multitask.cagrad": multitask.cagrad,
    "multitask.columns": lambda **o: multitask.columns("c", heads.Regressor(4, 2), "s", **o),
    "multitask.dwa": multitask.dwa,
    "multitask.fairgrad": multitask.fairgrad,
    "multitask.famo": multitask.famo,
    "multitask.gls": multitask.gls,
    "multitask.imtl_l": multitask.imtl_l,
    "multitask.pcgrad": multitask.pcgrad,
    "multitask.rlw": multitask.rlw,
    "multitask.rows_with_label": lambda **o: multitask.rows_with_label(
        TensorDataset(torch.zeros(2, 1), torch.ones(2, 3)), **{"label": 0} | o
    ),
    "multitask.stch": multitask.stch,
    "multitask.task": lambda **o: multitask.task("t", HEAD, "s", **o),
    "multitask.uncertainty": multitask.uncertainty,
    "multitask.uw_so": multitask.uw_so,
    "ranking.cost": lambda **o: ranking.cost(network(), torch.zeros(2, 6), **o),
    "ranking.gbc": partial(ranking.gbc, SAMPLE),
    "ranking.knn": partial(ranking.knn, SAMPLE),
    "ranking.logme": partial(ranking.logme, SAMPLE),
    "ranking.n_leep": partial(ranking.n_leep, SAMPLE, per_class=2),
    "ranking.parc": lambda **o: ranking.parc(SAMPLE, **{"rows": 10} | o),
    "ranking.rank": lambda **o: ranking.rank({"a": X, "b": Y}, LABELS, **{"resamples": 2, "halves": 2} | o),
    "ranking.transrate": partial(ranking.transrate, SAMPLE),
    "report.cost": report.cost,
    "report.experiment": lambda **o: report.experiment(
        tempfile.mkdtemp(dir=FOLDER.name), {"a": lambda cell: 1.0}, progress=False, **{"seeds": 1} | o
    ),
    "report.first_look": lambda **o: report.first_look(
        TensorDataset(X.repeat(4, 1), LABELS.repeat(4)), TensorDataset(Y.repeat(4, 1)),
        lambda: encoders.wrap(nn.Linear(4, 3), 3), methods={"mcc": lambda encoder, head: domain.mcc(head)},
        folder=tempfile.mkdtemp(dir=FOLDER.name), progress=False, **{"seeds": 1, "steps": 1} | o
    ),
    "report.discrepancy": lambda **o: report.discrepancy(FEATURES, FEATURES, **{"permutations": 2} | o),
    "report.layers": lambda **o: report.layers(network(), FEATURES, FEATURES, **{"permutations": 2} | o),
    "report.benefit": partial(report.benefit, [[1, 2], [1, 3]], [[0, 1], [0, 2]], [1, 2]),
    "report.calibration": partial(report.calibration, [[0.9, 0.1]] * 4, [0, 0, 0, 1]),
    "report.critical_difference": partial(report.critical_difference, {"a": [1, 2], "b": [2, 1]}),
    "report.groups": partial(report.groups, [0] * 20, [0] * 20, [0, 1] * 10),
    "zeroshot.dap": zeroshot.dap,
    "zeroshot.eszsl": zeroshot.eszsl,
    "zeroshot.fit": lambda **o: zeroshot.fit(network(), ["a", "b", "c"], vectors=EYE[:3], **o),
    "zeroshot.fit_signatures": lambda **o: zeroshot.fit_signatures(
        network(), ROWS, signatures={str(i): EYE[i] for i in range(4)}, **{"calibration": 0} | o
    ),
    "zeroshot.mixture": lambda **o: zeroshot.mixture(X, EYE, **o),
    "zeroshot.sae": zeroshot.sae,
    "zeroshot.vectors": lambda **o: zeroshot.vectors(lambda texts: torch.ones(len(texts), 2), ["a", "b"], **o),
    "select.Candidate": lambda **o: select.Candidate("m", SIX, NO_LABELS, **o),
    "select.choose": lambda **o: select.choose(
        [select.Candidate("m", SIX, NO_LABELS)], select.Candidate("s", SIX, NO_LABELS), **o
    ),
    "select.class_ami": partial(select.class_ami, X, LOGITS),
    "select.effective_classes": partial(select.effective_classes, LABELS, classes=3),
    "select.importance_weights": partial(select.importance_weights, X, Y),
    "select.lidar": partial(select.lidar, torch.stack([X, Y], 1)),
    "select.rank_me": partial(select.rank_me, X),
    "select.reverse_regression": partial(select.reverse_regression, X, ONE, Y, ONE),
    "select.reverse_validation": partial(select.reverse_validation, X, LOGITS, Y, LABELS),
    "select.soft_neighbourhood_density": partial(select.soft_neighbourhood_density, LOGITS),
    "select.weighted_vote": partial(select.weighted_vote, [LOGITS, OTHER]),
    "transductive.which_shift": lambda **o: transductive.which_shift(
        FEATURES, FEATURES, SHARES, [0, 1] * (len(FEATURES) // 2), SHARES, **{"repeats": 1, "permutations": 2} | o
    ),
    "transductive.Drift": transductive.Drift,
    "transductive.StreamClassifier": partial(transductive.StreamClassifier, LogisticRegression()),
    "transductive.LabelShift": partial(transductive.LabelShift, LOGITS.softmax(1), LABELS),
    **{f"unsupervised.{term}": lambda make=getattr(unsupervised, term), **o: make(**{"encoder": 4} | o, on="t")
       for term in ("barlow_twins", "lejepa", "simclr", "swav", "vicreg")},
    "unsupervised.cluster": partial(unsupervised.cluster, X, clusters=2),
    "unsupervised.denoised_tokens": lambda **o: unsupervised.denoised_tokens(
        **{"encoder": 4, "tokenizer": Words(), "length": 3} | o, on="t"
    ),
    "unsupervised.masked_tokens": lambda **o: unsupervised.masked_tokens(HEAD, Words(), on="t", **o),
    "unsupervised.number_of_clusters": lambda **o: unsupervised.number_of_clusters(
        FEATURES, **{"candidates": [2], "splits": 2, "resamples": 2} | o
    ),
    "unsupervised.scan": partial(unsupervised.scan, X, clusters=2),
    "unsupervised.simcse": lambda **o: unsupervised.simcse(**{"encoder": 4} | o, on="t"),
    "unsupervised.dino": lambda **o: unsupervised.dino(network(), on="t", **o),
    "unsupervised.masked_reconstruction": lambda **o: unsupervised.masked_reconstruction(
        **{"encoder": 4, "shape": (4,), "patch": (2,)} | o, on="t"
    ),
    "transductive.centroid_labels": partial(transductive.centroid_labels, X, LOGITS.softmax(1)),
    "transductive.confident_labels": lambda **o: transductive.confident_labels(LOGITS.softmax(1), **{"share": 0.5} | o),
    "transductive.label_propagation": partial(transductive.label_propagation, X, LABELS, Y),
    "transductive.self_training": lambda **o: transductive.self_training(
        GaussianNB(), X, LABELS, Y, **{"rounds": 1, "guard": False} | o
    ),
    "transductive.shot_im": lambda **o: transductive.shot_im(heads.Classifier(4, 3), **o),
    "transductive.source_free": lambda **o: transductive.source_free(
        Model(network(), heads.Classifier(4, 3)), ROWS, **{"epochs": 1, "batch_size": 4, "guard": False} | o
    ),
    **{
        f"transductive.{method.__name__}": partial(
            method, heads.Classifier(4, 3), encoder=network(), dataset=ROWS
        )
        for method in (transductive.shot, transductive.cbst, transductive.nrc, transductive.aad)
    },
    "streams.episodes": lambda **o: streams.episodes(**{"ways": 2, "shots": 1, "queries": 1} | o),
    "transductive.Clock": lambda **o: transductive.Clock(**o or {"cost": 1}),
    "transductive.Guard": transductive.Guard,
    "transductive.adabn": transductive.adabn,
    "transductive.arrivals": lambda **o: transductive.arrivals(
        "mixed", LABELS, **{"domains": 2, "batch_size": 4} | o
    ),
    "transductive.eata": transductive.eata,
    "transductive.lame": transductive.lame,
    "transductive.rdumb": transductive.rdumb,
    "transductive.roid": transductive.roid,
    "transductive.sar": transductive.sar,
    "transductive.t3a": transductive.t3a,
    "transductive.tent": transductive.tent,
}  # fmt: skip
CALLS |= {f"adapt.{name}": call for name, call in PLAIN.items()}


def of_method(name, **options):
    encoder, known = parts()
    return make(name, options.pop("encoder", encoder), known, **options)


METHODS = {f"adapt.domain.{name}": partial(of_method, name)
           for name in domain.__all__ if name not in ("adabn", "DomainNorm")}  # fmt: skip
CALLS |= METHODS
