"""The pretrained classifier is fine-tuned too."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

import losses
from adapt.encoders import Encoder
from adapt.engine import Step, Term, predict
from adapt.engine.schedule import Schedule
from adapt.inductive._doors import expect_labels, labels_of, pretrained_head
from adapt.protocols import MapStyle
from adapt.streams import Stream
from losses.options import COUNT, POSITIVE, check


def co_tuning(
    encoder: Encoder, *, on: str, relationship: Tensor, weight: float | Schedule = 2.3, name: str = "co_tuning"
) -> Term:
    r"""Train the pretrained head too, on the source classes that go with each target label: Co-Tuning.

    .. math:: -\frac1n \sum_i \sum_s p(s \mid y_i)\, \log \mathrm{softmax}(z_i)_s

    The term stands beside the supervised term of the new head.

    Args:
        encoder: with the pretrained ``head``. A copy of the head learns in this term, at the learning rate of heads.
            (In the authors' code the pretrained head has the learning rate of the encoder.)
        on: the labelled stream.
        relationship: ``(target classes, source classes)``, see :func:`relationship`. Saved with the term.
        weight: of the term; 2.3 as in the authors' code.
        name: of the term.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: an encoder without the pretrained head; a relationship of another size; a stream without labels;
            labels without a row in `relationship`, where the labels lie in memory.

    You et al., Co-Tuning for Transfer Learning, 2020,
    https://papers.nips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html
    """
    head = pretrained_head(encoder)
    if relationship.ndim != 2 or relationship.shape[1] != head.out_features:
        raise ValueError(
            f"`relationship` must be (target classes, {head.out_features}), got {tuple(relationship.shape)}: "
            "compute the matrix with `inductive.relationship` on this encoder."
        )
    loss = CoTuning(deepcopy(head).requires_grad_(True), on, relationship, name)
    return Term(name, loss, weight, streams=[on])


class CoTuning(nn.Module):
    relationship: Tensor

    def __init__(self, head: nn.Module, on: str, relationship: Tensor, name: str):
        super().__init__()
        self.head, self.on, self._name = head, on, name
        self.register_buffer("relationship", relationship.detach().clone())

    def check(self, streams: Mapping[str, Stream]) -> None:
        expect_labels(streams, self.on, self._name)
        labels, classes = streams[self.on].all_labels(), len(self.relationship)
        if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"stream `{self.on}` has labels from {int(labels.min())} to {int(labels.max())}, and `relationship` is "
                f"for classes 0 to {classes - 1}: compute the matrix with all classes of the target."
            )

    def forward(self, step: Step) -> Tensor:
        return losses.co_tuning(step.output(self.head, self.on), step[self.on].labels, self.relationship)


def relationship(
    encoder: Encoder,
    dataset: MapStyle,
    classes: int,
    *,
    source: MapStyle | None = None,
    temperature: float | Tensor = 1.0,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""Return the mean answer of the pretrained head to each target class, :math:`p(s \mid y)`, before training.

    Args:
        encoder: pretrained, with the pretrained ``head``.
        dataset: labelled target rows to train on.
        classes: number of target classes.
        source: labelled source rows that the head was not trained on. The head is calibrated on these rows, as in the
            paper. Without source rows, `temperature` is the calibration.
        temperature: divides the logits; 1. The authors' value for an ImageNet head is 1.131.
        batch_size: rows per forward pass.
        device: where the passes run; the encoder must lie there.

    Returns:
        ``(classes, source classes)``; see :func:`losses.learn_relationship`.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: an encoder without the pretrained head, rows without labels, a `temperature` that is not positive.
    """
    check(POSITIVE, temperature=float(temperature) if isinstance(temperature, Tensor) else temperature)
    check(COUNT, classes=classes, batch_size=batch_size)
    head = deepcopy(pretrained_head(encoder)).to(device)
    calibration: float | Tensor = temperature
    if source is not None:
        held_out = predict(encoder, head, source, batch_size=batch_size, device=device)
        calibration = losses.calibrate_temperature(held_out.outputs, labels_of(held_out, "`source`"))
    found = predict(encoder, head, dataset, batch_size=batch_size, device=device)
    return losses.learn_relationship(
        found.outputs, labels_of(found, "`dataset`"), classes=classes, temperature=calibration
    )
