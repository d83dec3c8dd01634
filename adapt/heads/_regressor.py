"""Numbers from features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.labels import masked, mean_of_present, present
from adapt.heads.observations import number_summary
from adapt.heads.score import Score, average
from adapt.heads.sizes import check_features
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, COUNT, check


class Regressor(nn.Module):
    r"""A linear layer from features to one or several numbers, after dropout. Units of the labels change nothing.

    .. math:: f(z) = \mu + \sigma\, (W z + b), \qquad
        L = \operatorname{mean} \left( \frac{f(z) - y}{\sigma} \right)^2

    with mean :math:`\mu` and population deviation :math:`\sigma` of the labels, for each output. Predictions and scores
    have the units of the labels; the loss and the weights do not: labels in metres and in millimetres give one result.

    Args:
        encoder: an encoder, or a feature size.
        outputs: how many numbers per row.
        dropout: share of features dropped in training; 0.
        scale: ``"natural"`` takes :math:`\mu` and :math:`\sigma` from all labels of the first labelled stream that the
            head learns from, before the first step. The scale then stays, also with other data. A pair of numbers, or
            of sequences with a number per output, is :math:`(\mu, \sigma)`. None is (0, 1): labels as they are.

    Shapes: features ``(n, dim)`` to ``(n, outputs)``, or to ``(n,)`` where `outputs` is 1. A label of NaN is missing;
    the other labels of the row count.

    Several ranks: the loss is the exact mean over the labels of all ranks.

    Attributes:
        mean, deviation: buffers ``(outputs,)``; (0, 1) before the labels are known.

    Raises:
        ValueError: sizes below 1; a dropout outside [0, 1); features of another size; a scale that is no pair of finite
            numbers, with positive deviations; a natural scale and labels that do not lie in memory.
    """

    def __init__(
        self,
        encoder: HasDim | int,
        outputs: int = 1,
        *,
        dropout: float = 0.0,
        scale: str | Sequence[Any] | None = "natural",
    ):
        super().__init__()
        check(COUNT, outputs=outputs)
        check(BELOW_1, dropout=dropout)
        self.dim, self.outputs, self.dropout = dim_of(encoder), outputs, nn.Dropout(dropout)
        self.linear = nn.Linear(self.dim, outputs)
        self.mean: Tensor
        self.deviation: Tensor
        self.scaled: Tensor  # a buffer, because a loaded head must keep its scale
        self.scale = None if scale is None else "natural"
        mean, deviation = (0.0, 1.0) if scale is None or scale == "natural" else _checked(scale, outputs)
        for name, value in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.get_default_dtype()).expand(outputs).clone())
        self.register_buffer("scaled", torch.tensor(scale != "natural"))

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        predicted = torch.addcmul(self.mean, self.deviation, self.linear(self.dropout(features)))
        return predicted.squeeze(-1) if self.outputs == 1 else predicted

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.dim, "outputs": self.outputs, "dropout": self.dropout.p}
        return "adapt.heads.Regressor", sizes | {"scale": self.scale}  # the numbers are buffers

    def loss(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """Return the mean squared error over the labels that are there, in squared deviations; 0 where none is."""
        labels = labels.to(predicted.dtype)
        there = present(labels)
        # the label is masked before the square: a gradient through NaN would be NaN
        errors = masked(predicted - masked(labels, there), there) / self.deviation
        return mean_of_present(errors.square().sum(), there)

    def standardized(self, values: Tensor) -> Tensor:
        """Return predictions or labels without units: minus the mean, divided by the deviation."""
        return (values - self.mean) / self.deviation

    def learn_from(self, labels: Tensor | None) -> None:
        """Take the natural scale from ``(n,)`` or ``(n, outputs)`` labels, unless the head has a scale.

        The deviation of labels that do not vary is 1. A trainer calls this method with the labels of the stream; None
        where the labels do not lie in memory.

        Raises:
            ValueError: labels that do not lie in memory.
        """
        if self.scaled:
            return
        if labels is None:
            raise ValueError(
                '`scale="natural"` of heads.Regressor needs the labels of all rows, and the labels of this stream do '
                "not lie in memory: give the data set an attribute `labels`, or give `scale=(mean, deviation)` of the "
                "labels, or `scale=None` where the labels are near 1."
            )
        y = labels.detach().cpu().double().reshape(len(labels), self.outputs)
        mean = y.nanmean(0).nan_to_num(0.0)
        deviation = (y - mean).square().nanmean(0).sqrt().nan_to_num(0.0)
        constant = deviation <= 1e-12 * mean.abs()  # up to rounding
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.masked_fill(constant, 1.0))
        self.scaled.fill_(True)

    def present(self, labels: Tensor) -> Tensor:
        """Return booleans of the shape of the labels: True where a label is not NaN."""
        return present(labels)

    def measure(self, predicted: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return labels and errors, prediction minus label, ``(n, outputs)``, after a check of the labels."""
        self.check(labels)
        rows = len(labels)
        return {"label": labels.reshape(rows, -1), "error": (predicted - labels).reshape(rows, -1)}

    def score(self, measures: Mapping[str, Tensor], units: Tensor | None = None) -> Score:
        """Return the mean absolute error over outputs, averaged over rows, with the normal 95 % interval.

        Further value: R2, see :func:`r2`. A label of NaN is missing and does not count.

        Args:
            units: the unit of each row where rows belong together, as in :meth:`Classifier.score`.
        """
        there = ~measures["label"].isnan()
        rows, counts = there.any(1), there.sum(1)
        errors = measures["error"].abs().where(there, 0).sum(1)[rows] / counts[rows]
        units = None if units is None else units[rows]
        found = average("mean absolute error", errors, higher_is_better=False, units=units)
        return replace(found, further=r2(measures["label"], measures["error"]))

    def observe(self, predicted: Tensor) -> Tensor:
        """Return ``(n, outputs)``, the predictions themselves."""
        return predicted.reshape(len(predicted), -1)

    def summary(self, observations: Tensor) -> dict[str, float]:
        """Return mean, median, 5 % and 95 % quantile of each output, by name."""
        return number_summary(observations)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are numbers, or NaN, of the shape of the predictions.

        A loss would broadcast other shapes in silence. A host synchronisation on a GPU.
        """
        expected = (len(labels),) if self.outputs == 1 else (len(labels), self.outputs)
        shape = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        if shape != expected:
            raise ValueError(
                f"`labels` of a regressor with {self.outputs} output(s) must be {expected}, got {shape}: "
                f"{'take the only column, `labels[:, 0]`' if shape == (*expected, 1) else 'reshape the labels'}."
            )
        if labels.is_complex() or (labels.is_floating_point() and labels.isinf().any()):
            raise ValueError(
                "`labels` of a regressor must be finite real numbers, or NaN where missing, found infinite or complex "
                "labels: clean the labels."
            )


def _checked(scale: Any, outputs: int) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of a scale that the user gave."""
    try:
        mean, deviation = (torch.as_tensor(part, dtype=torch.float64).reshape(-1) for part in scale)
        right = all(len(part) in (1, outputs) and part.isfinite().all() for part in (mean, deviation))
    except (TypeError, ValueError):
        right = False
    if not right or deviation.min() <= 0:
        raise ValueError(
            f'`scale` must be "natural", None or (mean, deviation), finite and with a positive deviation, one number '
            f"for all outputs or {outputs} numbers each, got {scale!r}: give `(labels.mean(0), labels.std(0))`."
        )
    return mean, deviation


def r2(labels: Tensor, errors: Tensor) -> dict[str, float]:
    r"""Return the share of explained variance, the mean over outputs, under the name ``"R2"``.

    .. math:: 1 - \frac{\sum_i (p_i - y_i)^2}{\sum_i (y_i - \bar y)^2}

    Undefined, and empty, where the labels of every output are constant; an output with constant labels does not count.

    Args:
        labels: y ``(n, outputs)``; NaN where missing.
        errors: p - y ``(n, outputs)``.
    """
    values = []
    for y, e in zip(labels.double().T, errors.double().T, strict=True):
        there = ~y.isnan()
        total = (y[there] - y[there].mean()).square().sum()
        if total > 0:
            values.append(1 - (e[there].square().sum() / total).item())
    return {"R2": sum(values) / len(values)} if values else {}
