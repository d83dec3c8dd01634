"""From labelled rows of seen classes and signatures of all classes to a model that also knows unseen classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.engine import Model
from adapt.engine.card import card_of_rows
from adapt.engine.labelled_rows import as_dataset, labelled
from adapt.engine.model_data import first_inputs, preparation_of
from adapt.heads._centred import Centred, solved
from adapt.streams.items import ItemForm
from adapt.zeroshot._eszsl import eszsl
from adapt.zeroshot._stacking import calibrated
from adapt.zeroshot._vectors import scaled_unit
from adapt.zeroshot.semantic import Semantic
from losses.options import COUNT, FROM_0, POSITIVE, check, is_number

HELD_OUT = "held-out"


def fit_signatures(
    encoder: nn.Module,
    support: Any,
    names: Sequence[Any] | None = None,
    *,
    signatures: Mapping[str, Any],
    method: Semantic | None = None,
    classes: Sequence[str] | None = None,
    calibration: float | str = HELD_OUT,
    scale: float = 10.0,
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Model:
    r"""Fit a classifier of classes without any labelled row, through signatures such as attributes or encoded texts.

    .. math:: p_z(x) = \mathrm{softmax}_z\big(\alpha \, (s_z(x) - \gamma \, [z \text{ is seen}])\big)

    with the scores s of `method` on features minus the mean of the support rows, of unit length.

    Args:
        encoder: from inputs to ``(n, d)`` features; not copied, and not trained. An encoder that was trained with
            labels of the unseen classes makes every figure about unseen classes worthless.
        support: labelled rows of the seen classes, as in :func:`adapt.fewshot.fit`.
        names: the class of each row, as in :func:`adapt.fewshot.fit`. None takes the labels and names of the data set.
        signatures: ``(a,)`` numbers of each class by name, for all classes of the support and of the answer.
            ``dict(zip(names, zeroshot.vectors(text, descriptions)))`` makes signatures of texts.
        method: None is ``eszsl()``.
        classes: the names of the answer. None is all of `signatures`: the generalised case. The names of the unseen
            classes alone are the plain case, where every row is known to be of an unseen class.
        calibration: :math:`\gamma` in units of the scores, for an answer with seen and unseen classes. Without a
            constant almost all rows become seen classes. ``"held-out"`` finds the constant with the largest harmonic
            mean on held-out rows of seen classes and on seen classes in the place of unseen classes, each class once;
            three seen classes or more. A number is the constant, 0 for none.
        scale: :math:`\alpha`, 10. The scale changes no prediction.
        seed: of the rows and classes that are held out.
        batch_size: rows for each call of the encoder.
        device: where the encoder runs.

    Returns:
        A :class:`adapt.Model`, saved and loaded as any model. The card has the constant, and the accuracies with the
        constant on held-out rows. :func:`adapt.zeroshot.generalised` scores the predictions.

    Raises:
        TypeError: a method that is no :class:`Semantic`; names that are neither texts nor whole numbers.
        ValueError: features that are not ``(n, d)`` finite numbers; a class without a signature, signatures of unequal
            sizes; fewer than two classes in the answer; fewer than three seen classes for ``"held-out"``.

    Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition in the Wild
    (calibrated stacking), 2016, https://arxiv.org/abs/1605.04253
    """
    method = eszsl() if method is None else method
    if not isinstance(method, Semantic):
        raise TypeError(f"`method` must be a method such as `zeroshot.eszsl()`, got {method!r}.")
    check(POSITIVE, scale=scale)
    check(COUNT, batch_size=batch_size)
    check(FROM_0, seed=seed)
    if calibration != HELD_OUT:
        check((f"a finite number, or {HELD_OUT!r}", is_number), calibration=calibration)
    S = _matrix(signatures)
    x, y, known = labelled(encoder, support, names, None, batch_size=batch_size, device=device)
    present = y.unique().tolist()
    seen, y = [known[i] for i in present], torch.searchsorted(torch.tensor(present), y)
    answer = list(signatures) if classes is None else [str(name) for name in classes]
    if lost := [name for name in [*seen, *answer] if name not in S]:
        raise ValueError(f"`signatures` must have every class, and {lost[0]!r} has none.")
    if len(set(answer)) < max(2, len(answer)):
        raise ValueError(f"`classes` must be two different names or more, got {answer[:5]}.")
    centre = x.double().mean(0)
    x = scaled_unit(x.double() - centre)
    seen_signatures = torch.stack([S[name] for name in seen])
    W, b = method.fit(x, y, seen_signatures)(torch.stack([S[name] for name in answer]))
    is_seen = torch.tensor([name in seen for name in answer])
    settings: dict[str, Any] = {"method": method, "rows": len(x), "seen classes": len(seen)}
    if is_seen.any() and not is_seen.all():
        if isinstance(calibration, str):
            constant, found = calibrated(method, x, y, seen_signatures, seed)
            settings |= found
        else:
            constant = float(calibration)
        b = b - constant * is_seen
        settings["constant subtracted from seen classes"] = constant
    before = Centred(x.shape[1])
    before.centre.copy_(centre)
    data = as_dataset(support)
    return Model(
        encoder, solved(before, scale * W, scale * b, answer), device, preparation=preparation_of(data),
        inputs=first_inputs(data, ItemForm()), card=card_of_rows(data, "by a method of attributes", settings),
    )  # fmt: skip


def _matrix(signatures: Any) -> dict[str, Tensor]:
    if not isinstance(signatures, Mapping) or not signatures:
        raise TypeError(
            f"`signatures` must be a dict from names to (a,) numbers, got {type(signatures).__name__}: write "
            "`dict(zip(names, rows))`."
        )
    found = {str(name): torch.as_tensor(row, dtype=torch.float64).detach().cpu() for name, row in signatures.items()}
    shapes = {tuple(row.shape) for row in found.values()}
    if len(shapes) > 1 or any(len(shape) != 1 or shape[0] == 0 for shape in shapes):
        raise ValueError(f"`signatures` must be (a,) numbers of one size for each class, got shapes {sorted(shapes)}.")
    if bad := [name for name, row in found.items() if not row.isfinite().all()]:
        raise ValueError(f"`signatures` must be finite, found NaN or infinity for {bad[0]!r}.")
    return found
