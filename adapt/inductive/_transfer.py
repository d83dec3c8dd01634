"""From a pretrained encoder to a model of the target, in one line."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from inspect import signature
from typing import Any, Literal

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.encoders import Encoder
from adapt.engine import Model, Trainer, cosine, features
from adapt.engine._supervised import supervised
from adapt.engine.card import card_of_rows
from adapt.engine.model_data import first_inputs, preparation_of
from adapt.engine.runtime import checked
from adapt.heads import Classifier, Regressor
from adapt.heads.sizes import names_of
from adapt.heads.weighing import Weight
from adapt.inductive._direct import direct
from adapt.inductive._doors import expect_adaptable, labels_in, number_of_rows
from adapt.inductive._probe import expect_one_kind, head_of, probe
from adapt.inductive._strategy import PARTIAL, strategy
from adapt.protocols import MapStyle
from adapt.streams import Stream
from adapt.streams.items import ItemForm
from losses.options import COUNT, FROM_0, POSITIVE, check, or_none

EPOCHS, LEAST_STEPS, MOST_EPOCHS = 20, 500, 300


def transfer(
    encoder: Encoder,
    train: MapStyle | None,
    learn: str | int | Sequence[str] = "probe",
    *,
    classes: int | Sequence[str] | None = None,
    outputs: int | None = None,
    weight: Weight = None,
    score: str | None = None,
    start: str = "probe",
    batch_norm: Literal["frozen", "follow"] = "frozen",
    epochs: int | None = None,
    batch_size: int = 32,
    rate: float = 1e-3,
    encoder_scale: Any = None,
    augment: Callable | None = None,
    stream: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Model:
    """Transfer an encoder to labelled target rows with one of the strategies.

    ``inductive.transfer(encoder, train, "full", classes=10).evaluate(test)``

    Args:
        encoder: pretrained; copied and left as it was.
        train: labelled rows of the target; not needed for ``"direct"``.
        learn: ``"direct"`` takes the pretrained classes themselves, nothing learns (:func:`inductive.direct`);
            ``"probe"`` solves a linear head on frozen features (:func:`inductive.probe`); every other value goes to
            :func:`inductive.strategy`: a number of last layers, names, ``"full"``, ``"bias"``, ``"norm"``,
            ``"adapters"``.
        classes: number of classes, or their names (``"direct"`` needs names).
        outputs: in place of `classes`: how many numbers per row a regressor predicts. The scale of the labels is
            natural (:class:`adapt.heads.Regressor`): units change nothing.
        weight: of the classes, as in :class:`adapt.heads.Classifier`, in the probe and in the training.
        score: the value that the probe chooses by, as in :func:`inductive.probe`: with ``"macro F1"``, say, the probe
            may take balanced weights, and the training then has these weights too.
        start: the head's start where the encoder learns: ``"probe"`` solves the head first (LP-FT), because the
            gradients of a random head damage the encoder's features; ``"random"`` is plain fine-tuning.
        batch_norm: as in :func:`inductive.strategy`.
        epochs: passes over `train`. None: 20, and more for few rows: at least 500 steps, at most 300 epochs. With 20 to
            400 rows of scikit-learn's digits, wine and breast cancer the longer training gains 0 to 48 points over 20
            epochs (``benchmarks/length_of_transfer.py``).
        batch_size: rows per step, at most all rows.
        rate: learning rate of the head, 1e-3: AdamW, falling along a cosine.
        encoder_scale: ratio of the encoder's rate to the head's rate. None is 0.1, and 1 for ``"bias"``, ``"norm"`` and
            ``"adapters"``: the usual choices. Or a dict with a ratio for each layer (:func:`layer_decay`,
            :func:`gradual`).
        augment: random augmentation of a single input, in training.
        stream: more options of the :class:`adapt.streams.Stream`, by name. Texts of unequal length need
            ``{"collate": collate.pad(), "lengths": rows.lengths}``; the model keeps `label`, `input` and `collate`.
        seed: of order, augmentation, dropout, folds and the random head.
        device: where the model is computed.
        options: more for :class:`Trainer`, such as ``log="runs/first"``.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: neither or both of `classes` and `outputs`; an unknown `start`; a name in `stream` that is no option
            of a stream; `epochs`, `batch_size` or `rate` that are not positive; the errors of the strategy, the probe,
            `direct` and the trainer.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, 2022,
    https://arxiv.org/abs/2202.10054
    """
    expect_adaptable(encoder)
    check(or_none(COUNT), epochs=epochs)
    check(COUNT, batch_size=batch_size)
    check(FROM_0, seed=seed)
    check(POSITIVE, rate=rate)
    expect_one_kind(classes, outputs)
    if classes is not None:
        names_of(classes)
    if start not in ("probe", "random"):
        raise ValueError(f'`start` must be "probe" or "random", got {start!r}.')
    more = _stream_options(stream)
    form = ItemForm(more.get("label"), more.get("collate"), more.get("input"))
    encoder = deepcopy(encoder).to(checked(device))
    if learn == "direct":
        if classes is None or isinstance(classes, int):
            raise ValueError(
                "`classes` must be names for the strategy `direct`: the pretrained classes are matched by name."
            )
        return _without_training(encoder, direct(encoder, classes), train, learn, seed, device, form)
    if train is None:
        raise ValueError(f"`train` is needed for the strategy {learn!r}: labelled rows of the target.")
    strategy(encoder, learn, batch_norm=batch_norm)
    if learn != "probe" and batch_norm == "frozen":
        _say_that_statistics_are_new(encoder)
    if learn == "probe" or start == "probe":
        rows, labels = features(encoder, train, device=device, **vars(form)).tensors
        head = probe(rows, labels, classes, outputs=outputs, weight=weight, score=score, seed=seed).head
    else:
        head = head_of(encoder, classes, outputs, weight, seed=seed)
        if isinstance(head, Regressor) or head.weight == "balanced":
            head.learn_from(labels_in(train, "`train`", form))
    head.to(device)
    if learn != "probe":
        rows_of_train = number_of_rows(train, "`train`")
        batch_size = min(batch_size, rows_of_train)
        usual = 1.0 if learn in PARTIAL else 0.1
        settings: dict[str, Any] = {
            "optimizer": partial(torch.optim.AdamW, lr=rate),
            "schedule": cosine(),
            "encoder_scale": usual if encoder_scale is None else encoder_scale,
            "progress": False,
        }
        trainer = Trainer(
            encoder,
            [supervised(head, on="target")],
            {"target": Stream(train, batch_size, augment=augment, **more)},
            seed=seed,
            device=device,
            **settings | options,
        )
        in_epoch = rows_of_train // batch_size
        trainer.fit(steps=usual_steps(in_epoch) if epochs is None else epochs * in_epoch)
        return trainer.model(head)
    return _without_training(encoder, head, train, learn, seed, device, form)


def usual_steps(in_epoch: int) -> int:
    """Return the steps of a training, from the number of steps in an epoch: few rows need many epochs.

    >>> [usual_steps(steps) for steps in (1, 3, 10, 100)]  # of 32, 96, 320 and 3,200 rows
    [300, 500, 500, 2000]
    """
    return max(EPOCHS * in_epoch, min(LEAST_STEPS, MOST_EPOCHS * in_epoch))


def _stream_options(stream: Mapping[str, Any] | None) -> dict[str, Any]:
    known = sorted(set(signature(Stream).parameters) - {"dataset", "batch_size", "augment"})
    if unknown := sorted(set(stream or {}) - set(known)):
        raise ValueError(f"`stream` must have options of `Stream` ({', '.join(known)}), got {', '.join(unknown)}.")
    return dict(stream or {})


def _say_that_statistics_are_new(encoder: Encoder) -> None:
    """Warn of BatchNorm layers that are frozen before they have seen a row: the encoder was never trained."""
    new = [
        name
        for name, layer in encoder.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None
        if not layer.running_mean.any() and bool((layer.running_var == 1).all())
    ]
    if new:
        warnings.warn(
            f"{len(new)} BatchNorm layers, the first `{new[0]}`, have the statistics of a new layer, and "
            '`batch_norm="frozen"` keeps these: the encoder has no pretrained weights. Load weights first, or train '
            'from scratch, `transfer(..., start="random", batch_norm="follow", encoder_scale=1.0)`.',
            stacklevel=3,
        )


def _without_training(
    encoder: Encoder, head: Classifier | Regressor, train: MapStyle | None, learn: Any, seed: int,
    device: torch.device | str, form: ItemForm,
) -> Model:  # fmt: skip
    """Return the model of a head that was not trained by a trainer: solved on `train`, or taken without labels."""
    learned = "by the probe" if learn == "probe" else None
    return Model(
        encoder, head, device, preparation=None if train is None else preparation_of(train),
        inputs=None if train is None else first_inputs(train, form),
        card=card_of_rows(train, learned, {"learn": learn, "seed": seed}), **vars(form),
    )  # fmt: skip
