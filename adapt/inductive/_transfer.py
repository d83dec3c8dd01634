"""From a pretrained encoder to a model of the target, in one line."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import Dataset

from adapt.encoders import Encoder
from adapt.engine import Predictions, Trainer, cosine, features, predict, score
from adapt.engine._supervised import supervised
from adapt.heads import Classifier, Score
from adapt.inductive._direct import direct
from adapt.inductive._probe import probe
from adapt.inductive._strategy import PARTIAL, strategy
from adapt.streams import Stream


@dataclass
class Model:
    """An encoder and its head."""

    encoder: nn.Module
    head: nn.Module
    device: torch.device | str = "cpu"

    def predict(self, dataset: Dataset, *, batch_size: int = 256) -> Predictions:
        """Outputs, features and labels of every row."""
        return predict(self.encoder, self.head, dataset, batch_size=batch_size, device=self.device)

    def evaluate(self, dataset: Dataset, *, batch_size: int = 256) -> Score:
        """The head's own score on a labelled dataset, with its 95 % interval."""
        return score(self.head, self.predict(dataset, batch_size=batch_size))


def transfer(
    encoder: Encoder,
    train: Dataset | None,
    learn: str | int | Sequence[str] = "probe",
    *,
    classes: int | Sequence[str],
    start: str = "probe",
    batch_norm: Literal["frozen", "follow"] = "frozen",
    epochs: int = 20,
    batch_size: int = 32,
    rate: float = 1e-3,
    encoder_scale: Any = None,
    transform: Callable | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Model:
    """Transfer an encoder to labelled target rows with one of the strategies.

    ``inductive.transfer(encoder, train, "full", classes=10).evaluate(test)``

    Args:
        encoder: pretrained; it is copied and stays as it is.
        train: labelled rows of the target; not needed for ``"direct"``.
        learn: ``"direct"`` the pretrained classes themselves, nothing learns (:func:`inductive.direct`); ``"probe"`` a solved linear
            head on frozen features (:func:`inductive.probe`); or anything that :func:`inductive.strategy` takes: a number of last
            layers, names, ``"full"``, ``"bias"``, ``"norm"``, ``"adapters"``.
        classes: how many, or their names (``"direct"`` needs names).
        start: of the head where the encoder learns: ``"probe"`` solves it first (LP-FT), so that a random head does not tear at
            the encoder's features; ``"random"`` is plain fine-tuning.
        batch_norm: as in :func:`inductive.strategy`.
        epochs: passes over `train`; 20.
        batch_size: rows a step, at most all of them.
        rate: learning rate of the head; AdamW, falling along a cosine; 1e-3.
        encoder_scale: of the encoder's rate to the head's; ``None`` is 0.1, and 1 for ``"bias"``, ``"norm"`` and ``"adapters"``, the
            usual choices; or one for each layer (:func:`layer_decay`, :func:`gradual`).
        transform: random augmentation of one input, in training.
        seed: of order, augmentation, dropout, folds and the random head.
        device: where it is computed.
        options: more for :class:`Trainer`, such as ``log="runs/first"``.

    Raises:
        ValueError: what the strategy, the probe, `direct` and the trainer raise; an unknown `start`.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, 2022,
    https://arxiv.org/abs/2202.10054
    """
    if start not in ("probe", "random"):
        raise ValueError(f'`start` must be "probe" or "random", got {start!r}.')
    encoder = deepcopy(encoder).to(device)
    if learn == "direct":
        if isinstance(classes, int):
            raise ValueError(
                "`classes` must be names for the strategy `direct`: the pretrained classes are matched by name."
            )
        return Model(encoder.eval(), direct(encoder, classes).to(device), device)
    if train is None:
        raise ValueError(f"`train` is needed for the strategy {learn!r}: labelled rows of the target.")
    strategy(encoder, learn, batch_norm=batch_norm)
    if learn == "probe" or start == "probe":
        rows, labels = features(encoder, train, device=device).tensors
        head = probe(rows, labels, classes, seed=seed).head
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = Classifier(encoder.dim, classes if isinstance(classes, int) else list(classes))
    head.to(device)
    if learn != "probe":
        batch_size = min(batch_size, len(train))  # type: ignore[arg-type]
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
            {"target": Stream(train, batch_size, transform=transform)},
            seed=seed,
            device=device,
            **settings | options,
        )
        trainer.fit(steps=epochs * (len(train) // batch_size))  # type: ignore[arg-type]
        take_average(trainer)
    return Model(encoder.eval(), head.eval(), device)


def take_average(trainer: Trainer) -> None:
    """The model gets the weights that the trainer evaluates with: where it has ``ema``, their average."""
    if trainer.ema is not None:
        trainer.model.load_state_dict(trainer.ema.module.state_dict())
