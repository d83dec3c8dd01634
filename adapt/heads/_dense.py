"""A class for each pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.heads.class_values import count_pairs, pair_tables
from adapt.heads.decoder import Decoder, image_size, resized
from adapt.heads.labels import check_missing, check_range, mean_of_present, present, whole_numbers
from adapt.heads.overlap import mean_overlap
from adapt.heads.score import Score
from adapt.heads.sizes import names_of
from adapt.heads.weighing import Weight, balanced, check_weight, weights_of
from adapt.protocols import HasDim
from losses.options import BELOW_1, check


class Dense(nn.Module):
    r"""A decoder from a pyramid of maps to class logits for each pixel: semantic segmentation.

    :class:`adapt.heads.decoder.Decoder` brings the maps of the encoder together, coarse to fine; a convolution of one
    pixel gives logits; the logits are brought to the size of the images, bilinear. The loss is the mean cross-entropy
    over the labelled pixels P of the whole step, with p the softmax of the logits and w the weights of the classes:

    .. math:: \frac{\sum_{i \in P} w_{y_i} (-\log p_{i y_i})}{\sum_{i \in P} w_{y_i}}

    Args:
        encoder: an encoder with a pyramid, ``encoders.pyramid(encoder, example=images)``, or with a single map,
            ``encoders.at_layer(..., output="map")``; or the channels of each map by name, or of a single map.
        classes: the number of classes, or their names.
        weight: one number per class, or ``"balanced"``, as in :class:`Classifier`. ``"balanced"`` needs masks in
            memory, or ``head.learn_from(masks)``. None: every pixel has weight 1.
        missing: the label of pixels without a class (void); -1.
        channels: of the maps in the decoder; 64.
        dropout: share of the channels of the last map dropped in training, whole maps; 0.

    Shapes: a pyramid of maps to logits ``(n, classes, height, width)`` of the size of the images; labels ``(n, height,
    width)``. Without a pyramid the size of the images is not known, and the logits have the size of the map. Labels of
    another size are never changed: the loss and the score bring the logits to the size of the labels.

    Attributes:
        names: the names of the classes; "0", "1", ... where none were given.

    Several ranks and micro-batches: the loss is the exact mean over the labelled pixels of the whole step.

    Raises:
        TypeError: `encoder` is neither an encoder nor sizes.
        ValueError: fewer than two classes; an option out of range; weights that do not fit; features that are no maps.

    Related: :func:`losses.dice` and :func:`losses.lovasz_softmax` as further terms, :func:`adapt.domain.advent`.

    >>> head = Dense({"coarse": 8, "fine": 4}, classes=["road", "sky"], channels=8)
    >>> head({"coarse": torch.zeros(2, 8, 3, 4), "fine": torch.zeros(2, 4, 6, 8)}).shape
    torch.Size([2, 2, 6, 8])
    """

    def __init__(
        self,
        encoder: HasDim | int | Mapping[str, int],
        classes: int | Sequence[str],
        *,
        weight: Weight | Tensor = None,
        missing: int = -1,
        channels: int = 64,
        dropout: float = 0.0,
    ):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        self.names = names_of(classes)
        self.classes, self.weight = len(self.names), check_weight(weight, self.names)
        check_missing(missing, self.classes)
        self.missing = int(missing)
        self.decoder, self.dropout = Decoder(encoder, channels), nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(self.decoder.channels, self.classes, 1)

    def forward(self, features: Any) -> Tensor:
        logits = self.classify(self.dropout(self.decoder(features)))
        size = image_size(features)
        return logits if size is None else resized(logits, size)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.decoder.dims, "classes": self.names, "channels": self.decoder.channels}
        more = {"weight": self.weight, "missing": self.missing, "dropout": self.dropout.p}
        return "adapt.heads.Dense", sizes | more

    def extra_repr(self) -> str:
        weight = "" if self.weight is None else f", weight={self.weight!r}"
        return f"classes={self.classes}, missing={self.missing}{weight}"

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n, h, w)``, the number of the class of each pixel."""
        return logits.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, classes, h, w)``, the softmax of the logits."""
        return logits.softmax(1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy over the labelled pixels of all ranks, weighted by class; 0 where no pixel has
        a label.

        Raises:
            ValueError: balanced weights before the labels are known.
        """
        logits, labels = resized(logits, labels.shape[-2:]), labels.long()
        weights = weights_of(self.weight, logits.dtype, logits.device)
        if weights is not None:
            there = labels != self.missing
            return losses.weighted_cross_entropy(logits, labels, weights=there, class_weights=weights)
        total = F.cross_entropy(logits, labels, ignore_index=self.missing, reduction="sum")
        return mean_of_present(total, labels != self.missing)

    def count(self, labels: Tensor) -> float:
        """Return what the loss of a batch is divided by: the number of labelled pixels, or their weights."""
        there = labels[self.present(labels)]
        weights = weights_of(self.weight, torch.float64, there.device)
        return len(there) if weights is None else weights[there.long()].sum().item()

    def learn_from(self, labels: Tensor | None) -> None:
        """Compute balanced weights from masks ``(n, h, w)``, where the head was made with ``"balanced"`` and has none
        yet.

        A trainer calls this method with the labels of the stream; None where the labels do not lie in memory.

        Raises:
            ValueError: labels that do not lie in memory; a class without a pixel.
        """
        if self.weight == "balanced" and labels is None:
            weights_of(self.weight, torch.float32, torch.device("cpu"))
        elif labels is not None and self.weight == "balanced":
            labels = labels.long()
            self.weight = balanced(labels.masked_fill(labels == self.missing, -1), self.names)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n, h, w)`` booleans: True where a label is not `missing`."""
        return present(labels, self.missing)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return counts per image, after a check of the labels.

        Returns:
            ``pairs``, a list with a table ``(m, 3)`` for each image: true class, predicted class, number of pixels.
        """
        self.check(labels)
        labels = labels.long()
        predicted = resized(logits, labels.shape[-2:]).argmax(1)
        return {"pairs": pair_tables(labels, predicted, labels != self.missing, self.classes)}

    def score(self, measures: Mapping[str, Any], units: Tensor | None = None) -> Score:
        """Return the mIoU of :func:`adapt.heads.overlap.mean_overlap`, with a 95 % interval over images.

        Further values: the pixel accuracy, the IoU of each class, and "absence of NAME" for each class without a true
        and without a predicted pixel. These classes are left out of the mean.

        Args:
            units: the unit of each image where images belong together, such as the frames of a sequence: the interval
                is then an interval over units.
        """
        return mean_overlap(measures["pairs"], self.names, units)

    def observe(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``(n, classes)`` shares of the predicted classes, and ``(n,)`` mean entropies in nats, which need no
        labels.
        """
        predicted = logits.argmax(1).flatten(1)
        counts = logits.new_zeros(len(logits), self.classes, dtype=torch.float64)
        counts.scatter_add_(1, predicted, counts.new_ones(predicted.shape))
        shares = counts / predicted.shape[1]
        return {"shares": shares, "entropy": torch.special.entr(logits.float().softmax(1)).sum(1).mean((1, 2))}

    def summary(self, observations: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the shares of the predicted classes and the mean entropy in nats, by name."""
        shares = observations["shares"].mean(0)
        found = {"largest predicted share": shares.max().item(), "entropy": observations["entropy"].mean().item()}
        return found | {f"predicted/{name}": share for name, share in zip(self.names, shares.tolist(), strict=True)}

    def confusion(self, measures: Mapping[str, Any]) -> Tensor:
        """Return ``(classes, classes)`` counts of pixels: the row is the true class, the column the predicted class."""
        label, predicted, counts = torch.cat(list(measures["pairs"])).long().T
        return count_pairs(label, predicted, self.classes, weights=counts)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, h, w)`` integers in [0, classes), or missing.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a head of pixels", "(n, h, w)", 3)
        check_range(labels, self.classes, self.missing, ", or give the head another `missing`")
