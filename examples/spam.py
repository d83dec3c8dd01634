"""A spam filter for other texts, without a label there: one video's comments to another's, to phone messages, and back.

    ADAPT_DATA=... python examples/spam.py            # about 10 minutes of processor time
    ADAPT_DATA=... python examples/spam.py --quick    # a smoke run; its numbers mean nothing

Comments under five videos (half of them spam) and phone messages (13 % spam); each text counts once, and no target text
is a source text. The baseline is a logistic regression on characters (tf-idf of 2 to 4, fitted on the source). Beside
the baseline: class-balanced self-training; shares of the classes corrected by EM; a small network on 100 directions of
the characters, alone, and with SHOT-IM and SHOT; ten labels per class of the target alone. Characters
replaced words after target scores were seen; nothing else was chosen on a target. Passing every message is 87 % right.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial

import numpy
import torch
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, Stream, Trainer, datasets, encoders, heads, report, supervised, transductive


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    epochs: int = 15


VIDEOS, PHONE = datasets.SPAM_VIDEOS, "messages"
TASKS = {f"leave out {v}": (tuple(u for u in VIDEOS if u != v), (v,)) for v in VIDEOS}
TASKS |= {f"{a} to {b}": ((a,), (b,)) for a, b in zip(VIDEOS, VIDEOS[1:] + VIDEOS[:1], strict=True)}
TASKS |= {"videos to messages": (VIDEOS, (PHONE,)), "messages to videos": ((PHONE,), VIDEOS)}
PLAIN = LogisticRegression(class_weight="balanced", solver="liblinear")
SCORES = "balanced accuracy", "F1", "AUC", "closeness of the share"  # of spam
BASELINE, FEW = "characters", "ten target labels per class"
NETWORKS = {"network": None, "network, SHOT-IM": transductive.shot_im, "network, SHOT": transductive.shot}
METHODS = [BASELINE, "characters, self-training", "characters, EM", *NETWORKS, FEW]


@cache
def pair(task: str):
    """Rows and labels of source and target, and dense rows of both for the network; all fitted on the source."""
    found = datasets.youtube_spam() | {PHONE: datasets.sms_spam()}
    source, target = ({t: int(y) for n in names for t, y in zip(*found[n], strict=True)} for names in TASKS[task])
    source = {t: y for t, y in source.items() if t not in target}
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=30_000, sublinear_tf=True)
    X, T = words.fit_transform(source), words.transform(target)
    lsa = TruncatedSVD(min(100, X.shape[0] - 1), random_state=0).fit(X)
    dense = [torch.from_numpy(10 * lsa.transform(x)).float() for x in (X, T)]
    return X, numpy.array([*source.values()]), T, numpy.array([*target.values()]), *dense


def network(rows: torch.Tensor, labels: numpy.ndarray, seed: int, epochs: int) -> Model:
    torch.manual_seed(seed)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(rows.shape[1], 64), nn.BatchNorm1d(64), nn.ReLU()), 64)
    head = heads.Classifier(encoder, ["ham", "spam"], weight="balanced", label_smoothing=0.1)
    stream = Stream(TensorDataset(rows, torch.from_numpy(labels)), 64)
    trainer = Trainer(encoder, [supervised(head, "source")], {"source": stream}, seed=seed, progress=False)
    return trainer.fit(epochs=epochs).model(head)


@cache  # the seeds share the result: nothing is drawn
def characters(method: str, task: str) -> numpy.ndarray:
    X, y, T, *_ = pair(task)
    p = clone(PLAIN).fit(X, y).predict_proba(T)
    if method.endswith("self-training"):
        p = transductive.self_training(PLAIN, X, y, T).predict_proba(T)
    if method.endswith("EM"):
        held_out = cross_val_predict(PLAIN, X, y, cv=5, method="predict_proba")
        p = transductive.LabelShift(held_out, y, guard=False).estimate(p).correct(p)
    return p


def learned(cell: report.Cell, settings: Settings) -> report.Outcome:
    _, y, T, truth, source, target = pair(cell.data.more)
    if cell.method in NETWORKS:
        model, method = network(source, y, cell.seed, settings.epochs), NETWORKS[cell.method]
        if method:
            model = transductive.source_free(model, target, method=method, epochs=settings.epochs, seed=cell.seed)
        p = model.probabilities(target)
    elif cell.method == FEW:
        g = numpy.random.default_rng(cell.seed)
        few = numpy.concatenate([g.permutation(numpy.flatnonzero(truth == k))[:10] for k in (0, 1)])
        p = clone(PLAIN).fit(T[few], truth[few]).predict_proba(T)
    else:
        p = characters(cell.method, cell.data.more)
    spam, share = p[:, 1] > 0.5, 1 - abs((p[:, 1] > 0.5).mean() - truth.mean())
    values = balanced_accuracy_score(truth, spam), f1_score(truth, spam), roc_auc_score(truth, p[:, 1]), share
    return report.Outcome(dict(zip(SCORES, map(float, values), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of one pair: does everything run?")
    parser.add_argument("--out", default="runs/spam", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, epochs=2) if arguments.quick else Settings()
    tasks = ["Psy to KatyPerry"] if arguments.quick else list(TASKS)
    torch.set_num_threads(1)  # the network is small
    result = report.experiment(
        arguments.out, dict.fromkeys(METHODS, partial(learned, settings=settings)), settings.seeds, BASELINE,
        data={task: report.Data(more=task) for task in tasks}, settings=settings, oracle=[FEW], quick=arguments.quick,
    )  # fmt: skip
    for metric in result.metrics:
        for task in tasks:
            found = {name: numpy.mean(values) for name, values in result.only(metric).scores(task).items()}
            print(f"{metric}, {task}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    print(f"{result.table()}\n\npage {result.page()}, numbers {result.json()}, picture {result.figure()}")


if __name__ == "__main__":
    main()
