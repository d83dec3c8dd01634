"""The row of an experiment without any encoder: a simple model on simple features."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt.engine import Model
from adapt.engine.evaluate import unit_of
from adapt.heads import Classifier, Regressor
from adapt.inductive import probe
from adapt.protocols import MapStyle
from adapt.ranking import baseline_features
from adapt.ranking._baseline_features import read_rows
from adapt.report.records import Cell, Outcome, Rows
from adapt.streams.items import ItemForm

Train = MapStyle | Callable[[Cell], MapStyle]


def no_encoder(
    train: Train,
    test: MapStyle | None = None,
    *,
    kind: str | None = None,
    label: str | None = None,
    input: str | None = None,
) -> Callable[[Cell], Outcome]:
    """Return a method for :func:`experiment`: logistic or ridge regression on features without any encoder.

    ``report.experiment(folder, {"no encoder": report.no_encoder(train), ...}, data=report.Data(test=test), ...)``

    The features are :func:`adapt.ranking.baseline_features`, the model is :func:`adapt.inductive.probe`: the penalty is
    chosen by cross-validation on the training rows. An encoder that does not beat this row is not worth its cost.

    Args:
        train: labelled rows; or a function from the cell to the rows, where the rows depend on the seed, the task or
            the budget.
        test: labelled rows of the score. None takes ``cell.data.test``.
        kind, label, input: as in :func:`adapt.ranking.baseline_features`.

    Returns:
        A function of a :class:`Cell`, which returns an :class:`Outcome` with the score, the outputs and the features of
        the test rows. Labels of whole numbers are classes, other labels are numbers.

    Raises:
        ValueError: when called: no test rows, rows without labels, fewer than two classes.

    >>> rows = TensorDataset(torch.tensor([[0.0], [0.1], [1.0], [1.1]] * 3), torch.tensor([0, 0, 1, 1] * 3))
    >>> from pathlib import Path
    >>> no_encoder(rows, rows)(Cell("no encoder", "", 0, None, None, Path())).scores["accuracy"].value
    1.0
    """

    form, how = ItemForm(label, None, input), {"kind": kind, "label": label, "input": input}

    def cell_of(cell: Cell) -> Outcome:
        learned = train(cell) if callable(train) else train
        scored = test if test is not None or cell.data is None else cell.data.test
        if scored is None:
            raise ValueError("there are no test rows: give `test`, or `data=report.Data(test=...)` to the experiment.")
        y, truth = _labels("train", learned, form), _labels("test", scored, form)
        x, new = baseline_features(learned, **how), baseline_features(scored, fitted_on=learned, **how)
        head = _head(x, y, truth, cell.seed)
        rows = TensorDataset(new, truth)
        model = Model(nn.Identity(), head)
        score = model.evaluate(rows, unit=unit_of(scored, None))
        return Outcome({score.metric: score}, rows=Rows(model.outputs(new).numpy(), truth.numpy(), new.numpy()))

    return cell_of


def _labels(name: str, dataset: MapStyle, form: ItemForm) -> Tensor:
    labels = read_rows(dataset, form)[1]
    if labels is None:
        raise ValueError(f"`{name}` must have labels: the model without an encoder learns from labels.")
    return labels


def _head(x: Tensor, y: Tensor, truth: Tensor, seed: int) -> Classifier | Regressor:
    if y.is_floating_point():
        return probe(x, y, outputs=1 if y.ndim == 1 else y.shape[1], seed=seed).head
    there = y >= 0  # a missing class is -1
    return probe(x[there], y[there], int(max(y.max(), truth.max())) + 1, seed=seed).head
