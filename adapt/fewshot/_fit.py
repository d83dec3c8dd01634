"""From an encoder and a few labelled rows to a model with the names of the user."""

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.engine import Model
from adapt.engine.card import card_of_rows
from adapt.engine.labelled_rows import as_dataset, encoded, labelled
from adapt.engine.model_data import first_inputs, preparation_of
from adapt.fewshot._centroid import centroid
from adapt.fewshot.method import Inductive, Rule
from adapt.fewshot.unknown import UNKNOWN, refused_known, threshold_of
from adapt.heads._centred import Centred, solved
from adapt.heads.task_layers import WithTaskLayers
from adapt.streams.items import ItemForm
from losses.options import BETWEEN, COUNT, check


def fit(
    encoder: nn.Module,
    support: Any,
    names: Sequence[Any] | None = None,
    *,
    method: Inductive | None = None,
    unknown: Any = None,
    false_accept: float = 0.05,
    classes: Sequence[str] | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Model:
    """Fit a classifier to a few labelled rows, on the features of a frozen encoder. A single row per class is enough.

    ``fewshot.fit(encoder, support, names).predict(new_photos)`` gives an array of names. The prediction is always the
    name with the largest probability.

    Args:
        encoder: from inputs to ``(n, d)`` features; not copied, and not trained. Any callable becomes an encoder by
            :func:`adapt.encoders.callable`.
        support: the labelled rows: a batch ``(n, ...)``, a data set such as ``datasets.images(folder)``, or a list of
            texts or other items that the encoder reads. Any number of rows per class.
        names: the class of each row, texts or whole numbers. None takes the labels and names of the data set.
        method: None is ``centroid(metric="cosine")``. On CIFAR-10 through a MobileNet of ImageNet, 200 episodes, the
            default, :func:`ridge` and :func:`logistic` differ by less than half a point with one row of a class, and
            :func:`ridge` is ahead of the default by less than a point with five rows.
        unknown: None: every row is of a known class. Else the model has a further class, ``"unknown"``, for rows with
            a largest logit below a threshold. ``"leave-one-out"`` leaves each class out in turn to find the threshold,
            and needs three classes. Rows of unknown classes, as `support` without names, give the threshold directly.
            A number is the threshold, in the units of the method: the cosine over the temperature for the default.
        false_accept: share of unknown rows that may get the name of a class, 0.05: the threshold is just above the
            conformal quantile of the unknown rows. Fewer than ``1 / false_accept`` unknown rows cannot show so small a
            share: the threshold is then just above the largest logit of all unknown rows.
        classes: the names of the classes in order. None takes the names of the data set, or the sorted `names`.
        batch_size: rows for each call of the encoder.
        device: where the encoder runs.

    Returns:
        A :class:`adapt.Model`, saved and loaded as any model. Its card has the threshold, and the share of known rows
        that cross-validation called unknown, where classes have several rows. Its head is a linear classifier on
        centred features: ``model.head`` begins LP-FT on more rows.

    Raises:
        TypeError: a method that is no inductive method; names that are neither texts nor whole numbers.
        ValueError: features that are not ``(n, d)`` finite numbers; no names; a class without a row, unless the method
            knows vectors of the classes; a single class without `unknown`; ``"leave-one-out"`` with two classes or
            fewer; options outside of the ranges.
    """
    method = centroid(metric="cosine") if method is None else method
    if not isinstance(method, Inductive):
        raise TypeError(
            f"`method` must be an inductive method such as `fewshot.ridge()`, got {method!r}: methods that read the "
            "set of queries belong to `fewshot.transduce`."
        )
    check(BETWEEN, false_accept=false_accept)
    check(COUNT, batch_size=batch_size)
    how = {"batch_size": batch_size, "device": device}
    x, y, known = labelled(encoder, support, names, classes, **how)
    _check_classes(method, y, known, unknown)
    settings: dict[str, Any] = {"method": method, "rows": len(x)}
    threshold = None
    if unknown is not None:
        if isinstance(unknown, Tensor | numpy.ndarray) and unknown.ndim == 0:
            unknown = unknown.item()
        if not isinstance(unknown, str | Number):
            unknown = encoded(encoder, unknown, "`unknown`", **how).tensors[0]
        threshold = threshold_of(method, x, y, unknown, false_accept)
        settings["threshold of the largest logit"] = threshold
        if (refused := refused_known(method, x, y, threshold)) is not None:
            settings["known rows called unknown in cross-validation"] = round(refused, 4)
    head = head_of_rule(method.fit(x, y), known, threshold)
    data = as_dataset(support)
    card = card_of_rows(data, "by a few-shot method", settings)
    return Model(
        encoder, head, device, preparation=preparation_of(data), inputs=first_inputs(data, ItemForm()), card=card
    )


def _check_classes(method: Inductive, y: Tensor, names: list[str], unknown: Any) -> None:
    counts = y.bincount(minlength=len(names))
    if method.columns is None and (empty := [n for n, c in zip(names, counts.tolist(), strict=True) if c == 0]):
        raise ValueError(
            f"every class must have a row in `support`, and {len(empty)} have none, the first {empty[0]!r}: leave the "
            "names of these classes out (`names=`, one for each row), or take `fewshot.text_probe`."
        )
    if method.columns not in (None, len(names)):
        raise ValueError(
            f"`method` has {method.columns} class vectors for {len(names)} classes: give `classes=`, the names of the "
            "vectors in order."
        )
    if unknown is None and len(names) < 2:
        raise ValueError(f"`names` hold one class, {names[0]!r}: add rows of another class, or give `unknown=`.")
    if unknown is not None and UNKNOWN in names:
        raise ValueError(f"`names` must not hold {UNKNOWN!r} beside `unknown=`: rename the class.")


def head_of_rule(rule: Rule, names: list[str], threshold: float | None) -> WithTaskLayers:
    """Return the classifier of one episode as a head; with a threshold, the last class is "unknown".

    The logit of "unknown" is the threshold: no weight, and the threshold as bias.
    """
    square = None if threshold is None else rule.square
    rows = 0 if rule.directions is None else rule.directions.shape[-2]
    before = Centred(rule.weight.shape[-1], unit=rule.unit, axes=None if square is None else rows)
    if rule.centre is not None:
        before.centre.copy_(rule.centre.squeeze(-2))
    W, b = rule.weight, rule.bias
    if square is not None:
        if rule.directions is not None:
            before.directions.copy_(rule.directions)
        W = torch.cat([W, (-square).expand(len(W), 1)], 1)
    if threshold is not None:
        names = [*names, UNKNOWN]
        W, b = torch.cat([W, torch.zeros_like(W[:1])]), torch.cat([b, b.new_full((1,), threshold)])
    return solved(before, W, b, names)
