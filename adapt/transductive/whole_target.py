"""Losses that look at all rows of the target: pseudo-labels of an epoch, and a bank of features and predictions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Predictions, Step, predict
from adapt.engine.step import unknown_stream
from adapt.heads import class_cross_entropy
from adapt.heads.labels import MISSING
from adapt.protocols import HasDim, MapStyle, classes_of, expect
from adapt.streams import Stream
from adapt.streams.items import ItemForm

INSTEAD = "a head with classes such as `heads.Classifier`: these methods read predictions, not features alone; not"
HEAD_DIM = "give the head the size of its features as attribute `dim`, or take `heads.Classifier(encoder, classes=...)`"


class WholeTarget(nn.Module):
    """A loss that can predict the whole target in evaluation mode.

    Args:
        head: the classifier.
        encoder: of the trainer.
        dataset: all rows of the stream `target`, without augmentation. Labels are not read.
        target: the stream.
    """

    def __init__(self, head: nn.Module, encoder: nn.Module, dataset: MapStyle, target: str):
        super().__init__()
        self.head, self.target = head, target
        self._encoder, self._dataset = [encoder], dataset  # in a list: the trainer owns the encoder, not this loss
        self._form, self._per_epoch = ItemForm(), 1

    def check(self, streams: Mapping[str, Stream]) -> None:
        """Raise a ValueError where the stream has other rows than the data set."""
        if self.target not in streams:
            raise unknown_stream(self.target, streams)
        stream, rows = streams[self.target], len(self._dataset)
        if stream.rows != rows:
            raise ValueError(
                f"`dataset` must hold the {stream.rows} rows of stream `{self.target}`, got {rows} rows: give the data "
                "set that the stream was made from."
            )
        self._form, self._per_epoch = stream.form, stream.per_epoch

    def predictions(self) -> Predictions:
        """Return features and logits of all target rows, in float32; on several ranks each rank computes a share.

        Raises:
            ValueError: features that are not ``(n, d)``, or not finite.
        """
        device = next(self.head.parameters()).device
        found = predict(self._encoder[0], self.head, self._dataset, device=device, **vars(self._form))
        if not isinstance(found.features, Tensor) or found.features.ndim != 2:
            raise ValueError("the features of the target must be (n, d): pool the places of tokens and maps first.")
        if not (found.features.isfinite().all() and found.outputs.isfinite().all()):
            raise ValueError(
                "features and logits of the target must be finite, found NaN or infinity: look at the rows of "
                f"stream `{self.target}` and at the weights of the model."
            )
        return found


Labelling = Callable[[Tensor, Tensor, int], Tensor]


class PseudoLabels(WholeTarget):
    """Cross-entropy with labels that are computed from the whole target at the start of each epoch.

    The buffer ``labels`` holds the label of each row, -1 for a row without a label. A checkpoint holds the buffer, so a
    run resumed in the middle of an epoch goes on with the same labels.

    Args:
        label: from ``(n, d)`` features, ``(n, classes)`` probabilities and the number of the epoch to ``(n,)`` labels.
    """

    labels: Tensor

    def __init__(
        self, head: nn.Module, encoder: nn.Module, dataset: MapStyle, target: str, name: str, label: Labelling
    ):
        super().__init__(head, encoder, dataset, target)
        self.name, self.label, self._computed = name, label, -1
        self.register_buffer("labels", torch.full((len(dataset),), MISSING))

    def forward(self, step: Step) -> Tensor:
        if step.number % self._per_epoch == 0 and step.number != self._computed:
            self._computed = step.number  # once per step, not once for each part of an accumulated batch
            found, epoch = self.predictions(), step.number // self._per_epoch
            self.labels.copy_(self.label(found.features, found.outputs.softmax(1), epoch))
        labels = self.labels[step[self.target].index]
        if step.logging:
            step.report(f"share_with_label/{self.name}", (labels != MISSING).float().mean())
        return class_cross_entropy(step.output(self.head, self.target), labels)


class WithBank(WholeTarget):
    """A loss with a bank of the features and the predictions of all target rows.

    The bank is filled from the whole target before the first step. In each step the rows of the batch, of all ranks,
    are written first and the bank is read last, as in the authors' code. A checkpoint holds the bank.
    """

    def __init__(self, head: nn.Module, encoder: nn.Module, dataset: MapStyle, target: str):
        super().__init__(head, encoder, dataset, target)
        dim = expect(head, HasDim, "`head`", HEAD_DIM).dim
        size = len(dataset), dim, classes_of(head, "a bank", INSTEAD)
        self.bank = losses.NeighbourhoodBank(*size, temperature=1.0, balanced=False)
        self._filled = False

    def write(self, step: Step) -> tuple[Tensor, Tensor]:
        """Return the unit features of the bank and the places of the batch, after the batch was written."""
        if not self._filled and not self.bank.probabilities.any():  # one host synchronisation in a process
            found = self.predictions()
            self.bank.features.copy_(found.features)
            self.bank.probabilities.copy_(found.outputs.softmax(1))
        self._filled = True
        view = step[self.target]
        self.bank.update(view.index, view.features.detach(), step.output(self.head, self.target).detach())
        return unit_rows(self.bank.features), view.index


def nearest(unit: Tensor, index: Tensor, neighbours: int) -> Tensor:
    """Return ``(n, neighbours)``, the rows of a bank with the largest cosine to the rows `index`, which are left out.

    Args:
        unit: ``(N, d)`` rows of length 1.
        index: ``(n,)`` places.
    """
    cosine = unit[index] @ unit.T
    cosine.scatter_(1, index[:, None], -torch.inf)
    return cosine.topk(min(neighbours, len(unit) - 1), dim=1).indices


def unit_rows(x: Tensor) -> Tensor:
    """Return rows of length 1, for numbers of any size; a row of zeros stays."""
    largest = x.abs().amax(1, keepdim=True)  # the square of 1e20 leaves the range of float32
    return nn.functional.normalize(x / torch.where(largest > 0, largest, 1), dim=1)
