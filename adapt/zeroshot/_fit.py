"""From an encoder and the names of classes to a model, without a label."""

from typing import Any

import torch
from torch import Tensor, nn

from adapt.engine import Model
from adapt.engine.card import card_of_rows
from adapt.engine.labelled_rows import as_dataset, encoded
from adapt.engine.model_data import first_inputs, preparation_of
from adapt.heads._centred import Centred, solved
from adapt.streams.items import ItemForm
from adapt.zeroshot._mixture import checked_rows, mixture
from adapt.zeroshot._vectors import Names, scaled_unit
from adapt.zeroshot._vectors import vectors as vectors_of
from losses.options import COUNT, POSITIVE, check


def fit(
    encoder: nn.Module,
    names: Names,
    templates: Any = ("{}",),
    *,
    text: Any = None,
    vectors: Tensor | None = None,
    unlabelled: Any = None,
    scale: float = 20.0,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Model:
    r"""Return a classifier by the names or descriptions of the classes: no label is needed.

    .. math:: p_k(x) = \mathrm{softmax}_k\!\left(\alpha \, t_k^\top \frac{f(x)}{\lVert f(x) \rVert}\right)

    ``zeroshot.fit(encoder, {"World": descriptions, "Sports": others}).predict(texts)`` gives an array of names.

    Args:
        encoder: f, from the rows to ``(n, d)`` features; not copied, and not trained.
        names: the names of the classes; or a dict from names to descriptions, one text or several texts for each class.
        templates: as in :func:`adapt.zeroshot.vectors`.
        text: reads the names, into the space of `encoder`: the text side of a dual encoder, or a function. None: the
            encoder itself reads texts.
        vectors: ``(classes, d)`` t, in place of encoded names; `templates` and `text` are then not read.
        unlabelled: rows of the task without labels, as `support` of :func:`adapt.fewshot.fit`, a few hundred or more:
            the class vectors are the start of a :func:`adapt.zeroshot.mixture`, which becomes the classifier. None:
            names alone. Labels in a data set are not read.
        scale: :math:`\alpha`, 20, a usual value for sentence encoders. CLIP has learned 100: a dual encoder of
            :func:`adapt.encoders.from_open_clip` knows its own. The scale changes no prediction by names alone.
        batch_size: rows for each call of the encoder.
        device: where the encoder runs.

    Returns:
        A :class:`adapt.Model`, saved and loaded as any model. The head is the head of :func:`adapt.fewshot.fit`, a
        linear classifier on features of unit length: with names alone the model is
        ``fewshot.fit(..., method=fewshot.text_probe(vectors, scale=scale))`` before the first label.

    Raises:
        TypeError, ValueError: as :func:`adapt.zeroshot.vectors` and :func:`adapt.zeroshot.mixture`; fewer than two
            classes; another number of vectors than names.

    Radford et al., Learning Transferable Visual Models From Natural Language Supervision (CLIP), 2021,
    https://arxiv.org/abs/2103.00020
    """
    check(POSITIVE, scale=scale)
    check(COUNT, batch_size=batch_size)
    how: dict[str, Any] = {"batch_size": batch_size, "device": device}
    if len(names) < 2:
        raise ValueError(f"`names` must hold two classes or more, got {list(names)}: a single class is always right.")
    if vectors is None:
        t = vectors_of(encoder if text is None else text, names, templates, **how)
    else:
        t = scaled_unit(checked_rows("vectors", vectors)).float().cpu()
    if len(t) != len(names):
        raise ValueError(f"`vectors` must hold one row for each of {len(names)} `names`, got {len(t)}.")
    W, b, settings, data = scale * t, torch.zeros(len(t)), {"method": "names", "scale": scale}, None
    if unlabelled is not None:
        data = as_dataset(unlabelled)
        x = encoded(encoder, data, "`unlabelled`", **how).tensors[0]
        W, b, _, _ = mixture(x, t, scale=scale)
        settings |= {"method": "names and rows without labels", "rows": len(x)}
    return Model(
        encoder, solved(Centred(t.shape[1]), W, b, list(names)), device,
        preparation=None if data is None else preparation_of(data),
        inputs=None if data is None else first_inputs(data, ItemForm()), card=card_of_rows(data, None, settings),
    )  # fmt: skip
