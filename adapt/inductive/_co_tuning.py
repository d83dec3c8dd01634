"""The pretrained classifier is fine-tuned too."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import losses
from adapt.encoders import Encoder
from adapt.engine import Step, Term, predict
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def co_tuning(encoder: Encoder, on: str, relationship: Tensor, *, weight: float | Schedule = 2.3) -> Term:
    r"""Keep the pretrained head at work on the source classes that go with each target label: Co-Tuning.

    .. math:: -\frac1n \sum_i \sum_s p(s \mid y_i)\, \log \mathrm{softmax}(z_i)_s

    beside the supervised term of the new head.

    Args:
        encoder: with its own pretrained ``head``; a copy of it learns in this term, at the heads' rate. (The authors' code gives it the
            encoder's.)
        on: labelled stream.
        relationship: ``(target classes, source classes)``, see :func:`relationship`. Saved with the term.
        weight: of the term; 2.3 as in the authors' code.

    Raises:
        ValueError: an encoder without its head, a relationship of another size, a stream without labels, or, where they lie in
            memory, with labels that have no row in it.

    You et al., Co-Tuning for Transfer Learning, 2020,
    https://papers.nips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html
    """
    head = own_head(encoder)
    if relationship.ndim != 2 or relationship.shape[1] != head.out_features:
        raise ValueError(
            f"`relationship` must be (target classes, {head.out_features}), got {tuple(relationship.shape)}: make it with "
            "`inductive.relationship` on this encoder."
        )
    return Term("co_tuning", CoTuning(deepcopy(head).requires_grad_(True), on, relationship), weight, streams=[on])


class CoTuning(nn.Module):
    relationship: Tensor

    def __init__(self, head: nn.Module, on: str, relationship: Tensor):
        super().__init__()
        self.head, self.on = head, on
        self.register_buffer("relationship", relationship.detach().clone())

    def check(self, streams: Mapping[str, Stream]) -> None:
        needs_labels(streams, self.on, "co_tuning")
        labels, classes = streams[self.on].all_labels(), len(self.relationship)
        if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"stream `{self.on}` has labels from {int(labels.min())} to {int(labels.max())}, and `relationship` is for classes "
                f"0 to {classes - 1}: make it with all the target's classes."
            )

    def forward(self, step: Step) -> Tensor:
        return losses.co_tuning(step.output(self.head, self.on), step[self.on].labels, self.relationship)


def relationship(
    encoder: Encoder,
    dataset: Dataset,
    classes: int,
    *,
    source: Dataset | None = None,
    temperature: float = 1.0,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""How the pretrained head answers to each target class: :math:`p(s \mid y)`, before training.

    Args:
        encoder: pretrained, with its ``head``.
        dataset: labelled target rows to train on.
        classes: of the target.
        source: labelled source rows that the head was not trained on: the head is calibrated on them, as the paper asks. Without
            them the calibration is `temperature`.
        temperature: that the logits are divided by; 1. The authors' ImageNet head: 1.131.
        batch_size, device: of the passes; the encoder must lie there.

    Returns:
        ``(classes, source classes)``; see :func:`losses.learn_relationship`.

    Raises:
        ValueError: an encoder without its head.
    """
    head = deepcopy(own_head(encoder)).to(device)
    T: float | Tensor = temperature
    if source is not None:
        held_out = predict(encoder, head, source, batch_size=batch_size, device=device)
        T = losses.calibrate_temperature(held_out.outputs, held_out.labels)  # type: ignore[arg-type]
    outputs, _, labels = predict(encoder, head, dataset, batch_size=batch_size, device=device)
    return losses.learn_relationship(outputs, labels, classes=classes, temperature=T)  # type: ignore[arg-type]


def own_head(encoder: Encoder) -> nn.Linear:
    """The pretrained head, or an error that says where it comes from."""
    if encoder.head is None:
        raise ValueError("this encoder came without its own head: make it with `Encoder(..., head=linear)`.")
    return encoder.head


def needs_labels(streams: Mapping[str, Stream], on: str, method: str) -> None:
    if not streams[on].labels:
        raise ValueError(f"`{method}` learns from the labels of stream `{on}`, which was made with `labels=False`.")
