"""From a saved source model and unlabelled target rows to a model of the target."""

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch

from adapt.engine import Model, Term, Trainer, inverse
from adapt.engine.description import describe
from adapt.engine.labelled_rows import as_dataset
from adapt.engine.model_folder import own_copy
from adapt.inductive import strategy
from adapt.streams import Stream
from adapt.transductive._shot import shot
from adapt.transductive.options import check_options
from adapt.transductive.signs import harm

Method = Callable[..., Term | list[Term]]


def source_free(
    model: Model,
    target: Any,
    *,
    method: Method = shot,
    learn: str | int | Sequence[str] = "full",
    epochs: int = 15,
    batch_size: int = 64,
    rate: float = 0.01,
    augment: Callable | None = None,
    guard: bool = True,
    seed: int = 0,
    **options: Any,
) -> Model:
    """Adapt a source model to unlabelled target rows; no row of the source is needed.

    ``transductive.source_free(Model.load("models/source"), images).predict(images)``

    Args:
        model: a classifier, ``Model.load(folder)``; copied and left as it was. The encoder must be able to learn.
        target: rows of the target: a data set, a batch, or raw items where the model knows the preparation. Labels are
            not read.
        method: :func:`shot`, :func:`nrc`, :func:`aad`, :func:`cbst`, or any function
            ``method(head, encoder=..., dataset=..., target=...)`` that returns terms;
            ``functools.partial(shot, labels_weight=0.1)`` sets options.
        learn: the part of the encoder that learns, as in :func:`adapt.inductive.strategy`. BatchNorm layers that learn
            follow the statistics of the target.
        epochs: passes over the target; 15 as in the authors' code of SHOT (30 for digits).
        batch_size: rows per step, at most all rows; 64 as in the authors' code of SHOT, NRC and AaD.
        rate: learning rate of SGD with Nesterov momentum 0.9 and weight decay 1e-3, falling as
            :func:`adapt.engine.inverse`; 0.01 as in the authors' code of SHOT.
        augment: random augmentation of a single input, in training.
        guard: whether a model with a sign of :func:`harm` is replaced by a copy of the source model, with a warning.
        seed: of order, augmentation and dropout.
        options: more for :class:`Trainer`, such as ``log="runs/first"``. Several ranks train as one.

    Returns:
        A model in evaluation mode. ``model.card["adaptation"]`` says whether the model was adapted, and why not.

    Raises:
        TypeError: no model; an encoder that cannot learn, such as a saved program; a head without classes.
        ValueError: fewer than two rows; an option with a wrong value; the errors of the method and of the trainer.

    Liang et al., Do We Really Need to Access the Source Data?, 2020, https://arxiv.org/abs/2002.08546
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"`model` must be an `adapt.Model`, got a {type(model).__name__}: take `adapt.Model.load(folder)`."
        )
    if not callable(method):
        raise TypeError(f"`method` must be a function such as `transductive.shot`, got {method!r}.")
    check_options(epochs=epochs, batch_size=batch_size, rate=rate, guard=guard, seed=seed)
    rows = rows_of(model, target)
    if len(rows) < 2:
        raise ValueError(f"`target` must have at least 2 rows, got {len(rows)}: adaptation looks at a set of rows.")
    encoder: Any = own_copy(model.encoder)  # Any: `strategy` asks for what an encoder must offer
    encoder = strategy(encoder, learn, batch_norm="follow")
    head = own_copy(model.head)
    stream = Stream(rows, min(batch_size, len(rows)), labels=False, augment=augment, **vars(model.form))
    settings: dict[str, Any] = {
        "optimizer": partial(torch.optim.SGD, lr=rate, momentum=0.9, nesterov=True, weight_decay=1e-3),
        "schedule": inverse(),
        "precision": model.precision,
        "device": model.device,
        "progress": False,
    }
    terms = method(head, encoder=encoder, dataset=rows, target="target")
    trainer = Trainer(encoder, terms, {"target": stream}, seed=seed, **settings | options)
    trainer.fit(epochs=epochs)
    adapted = trainer.model(head)
    adapted.preparation, adapted.inputs = model.preparation, model.inputs
    signs = harm(adapted.outputs(rows), model.outputs(rows)) if guard else []
    if signs:
        warnings.warn(f"the adapted model is harmed, the source model is kept: {'; '.join(signs)}.", stacklevel=2)
        adapted = deepcopy(model)
    facts = {"method": describe(method), "adapted": not signs, "signs of harm": signs}
    adapted.card["adaptation"] = facts | {"rows of the target": len(rows)}
    return adapted


def rows_of(model: Model, target: Any) -> Any:
    """Return target rows as a data set; raw items are prepared as the model knows."""
    raw = isinstance(target, str | Path | dict) or (
        isinstance(target, list) and bool(target) and all(isinstance(v, str | Path) for v in target)
    )
    if not raw:
        return as_dataset(target)
    if model.preparation is None:
        raise TypeError(
            f"`target` is raw, a {type(target).__name__}, and this model knows no preparation: give prepared rows, or "
            "load the model with `Model.load(folder, preparation=train)`."
        )
    return model.preparation.prepared(target)
