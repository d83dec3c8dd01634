"""Transfer as estimators of scikit-learn: classes and numbers with an unlabelled target, and few rows of a class."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt import domain, encoders, fewshot, heads
from adapt.engine import Model, Term, Trainer, cosine, supervised
from adapt.randomness import untouched_randomness
from adapt.streams import Stream
from losses.options import COUNT, POSITIVE, check

PLAIN = "source only"
NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    PLAIN: lambda encoder, head: [],
    "coral": lambda encoder, head: domain.deep_coral(),
    "mmd": lambda encoder, head: domain.dan(),
    "dann": lambda encoder, head: domain.dann(encoder),
}
CLASSES: dict[str, Callable[[Any, Any], Any]] = NUMBERS | {
    "cdan": lambda encoder, head: domain.cdan(head),
    "mcc": lambda encoder, head: domain.mcc(head),
    "bnm": lambda encoder, head: domain.bnm(head),
    "im": lambda encoder, head: domain.im(head),
}
FEW: dict[str, Callable[[], Any]] = {
    "centroid": partial(fewshot.centroid, metric="cosine"),
    "ridge": fewshot.ridge,
    "logistic": fewshot.logistic,
}
ROUTED = {"sample_domain": True}  # skada asks for the same routes
ROUTED_ANSWER = {"sample_domain": True, "allow_source": True}


class Transfer(BaseEstimator):
    """The part that a classifier and a regressor share: rows of two domains in, a trained network out."""

    __metadata_request__fit = ROUTED
    __metadata_request__predict = ROUTED_ANSWER

    def __init__(
        self,
        method: Any = None,
        *,
        encoder: nn.Module | None = None,
        hidden: int = 64,
        steps: int = 300,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        device: str | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ):
        self.method = method
        self.encoder = encoder
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _rows(self, X: Any, y: Any, X_target: Any, sample_domain: Any) -> tuple[ndarray, ndarray, ndarray | None]:
        """Return the source rows, the labels of the source rows, and the target rows."""
        check(COUNT, hidden=self.hidden, steps=self.steps, batch_size=self.batch_size)
        check(POSITIVE, learning_rate=self.learning_rate)
        if sample_domain is not None:
            if X_target is not None:
                raise ValueError("`X_target` and `sample_domain` both name the target: give one of them.")
            check_consistent_length(X, y, sample_domain)
            from_source = np.asarray(sample_domain) >= 0
            if from_source.ndim != 1 or not from_source.any():
                raise ValueError(
                    "`sample_domain` must hold one number for each row, positive for a row of the source and negative "
                    f"for a row of the target, got shape {from_source.shape} with {from_source.sum()} source rows."
                )
            source, target = np.flatnonzero(from_source), np.flatnonzero(~from_source)
            X_target = _safe_indexing(X, target) if len(target) else None
            X, y = _safe_indexing(X, source), _safe_indexing(y, source)
        how = self._form()
        X, y = validate_data(self, X, y, ensure_min_samples=2, y_numeric=isinstance(self, RegressorMixin), **how)
        if X_target is not None:
            X_target = validate_data(self, X_target, reset=False, **how)
        return X, y, X_target

    def _form(self) -> dict[str, Any]:
        given = self.encoder is not None
        return {"dtype": "numeric" if given else np.float64, "allow_nd": given}

    def _terms(self, known: Mapping[str, Any], target: Any, default: str) -> tuple[str, Callable[[Any, Any], Any]]:
        """Return the name of the method, and the function from encoder and head to terms."""
        method = (PLAIN if target is None else default) if self.method is None else self.method
        if isinstance(method, str) and method not in known:
            raise ValueError(
                f"`method` must be one of {', '.join(map(repr, known))}, or a function `(encoder, head) -> terms`, "
                f"got {method!r}."
            )
        if target is None and method != PLAIN:
            raise ValueError(
                f"`method` {method!r} reads rows of the target, and `fit` got none: give `X_target=`, or negative "
                "numbers in `sample_domain=`."
            )
        if not isinstance(method, str) and not callable(method):
            raise TypeError(f"`method` must be a name or a function `(encoder, head) -> terms`, got {method!r}.")
        return (method, known[method]) if isinstance(method, str) else ("own", method)

    def _train(
        self, X: ndarray, y: Tensor, target: ndarray | None, make_head: Callable[[Any], nn.Module], terms: Any
    ) -> Any:
        """Train a copy of the encoder, or a new one, and keep the model; return the estimator."""
        if self.encoder is None:
            self._mean, deviation = X.mean(0), X.std(0)
            self._deviation = np.where(deviation > 1e-12 * (1 + np.abs(self._mean)), deviation, 1.0)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with untouched_randomness():
            torch.manual_seed(seed)
            encoder = deepcopy(self.encoder) if self.encoder is not None else _network(X.shape[1], self.hidden)
            head = make_head(encoder)
            added = terms(encoder, head)
            added = [added] if isinstance(added, Term) else list(added)
            source = TensorDataset(self._inputs(X), y)
            streams = {"source": Stream(source, min(self.batch_size, len(X)))}
            if target is not None and added:
                rows = TensorDataset(self._inputs(target))
                streams["target"] = Stream(rows, min(self.batch_size, len(target)), labels=False)
            trainer = Trainer(
                encoder,
                [supervised(head, on="source"), *added],
                streams,
                optimizer=partial(torch.optim.AdamW, lr=self.learning_rate),
                schedule=cosine(),
                log_every=self.steps,
                seed=seed,
                device=self.device,
                progress=bool(self.verbose),
            ).fit(self.steps)
            self._model = trainer.model(head)
        return self

    def _inputs(self, X: ndarray) -> Tensor:
        if self.encoder is None:
            X = (X - self._mean) / self._deviation
        return torch.as_tensor(X.astype(np.float32) if X.dtype.kind == "f" else np.array(X))

    def _outputs(self, X: Any) -> Tensor:
        check_is_fitted(self, "_model")
        return self._model.outputs(self._inputs(validate_data(self, X, reset=False, **self._form()))).float()

    def model(self) -> Model:
        """Return the trained network as a :class:`adapt.Model`, which reads the columns as they are.

        ``model().save(folder)`` keeps weights and class names; `Model.load(folder)` predicts in a new process.
        The scales of the columns are folded into the first layer: columns with a mean far above their deviation, 1e4
        times say, lose digits in float32, and the estimator itself loses none.
        """
        check_is_fitted(self, "_model")
        encoder: Any = deepcopy(self._model.encoder)
        head, card = deepcopy(self._model.head), deepcopy(self._model.card)
        if self.encoder is None:
            with torch.no_grad():
                first = encoder.body[0]
                mean, deviation = (
                    torch.as_tensor(v, device=first.weight.device) for v in (self._mean, self._deviation)
                )
                W = first.weight.double() / deviation
                first.bias.copy_(first.bias.double() - W @ mean)
                first.weight.copy_(W)
        rows = torch.zeros(2, self.n_features_in_)
        inputs = rows if self.encoder is None else None
        return Model(encoder, head, self._model.device, inputs=inputs, card=card)


class TransferClassifier(ClassifierMixin, Transfer):
    r"""A classifier of scikit-learn that learns from a labelled source and adapts to an unlabelled target.

    .. math:: \min \; \frac1n \sum_i \mathrm{CE}(h(f(x_i)), y_i) + \text{terms of the method}(f, h, x, x^t)

    with an encoder f and a linear head h, trained by AdamW with a rate that falls along a cosine. Labels of the target
    are never read.

    Args:
        method: ``"source only"``, ``"coral"``, ``"mmd"``, ``"dann"``, ``"cdan"``, ``"mcc"``, ``"bnm"``, ``"im"``; or a
            function ``(encoder, head) -> terms`` with the terms of :mod:`adapt.domain`. None is ``"im"`` with a target,
            and ``"source only"`` without a target. Information maximisation has the least regret of single methods, and
            harmed 7 of 46 tasks (`docs/domain_adaptation.md`).
        encoder: a module from inputs to features, copied and then trained with the head; reads ``(n, ...)`` arrays as
            they are. None makes two layers of `hidden` units with ReLU on standardised columns: the mean and the
            deviation are those of the source.
        hidden: units of each layer of the default encoder; 64.
        steps: of training; 300.
        batch_size: rows of each domain in one step; 64, at most all rows.
        learning_rate: at the start; 3e-3.
        device: None takes the GPU where there is one.
        verbose: 1 shows a bar.
        random_state: of initial weights and order: the same number gives the same model on the same machine.

    Attributes:
        classes_: the classes as given, texts or numbers.
        method_: the name of the method, ``"own"`` for a function.
        n_features_in_: columns.

    Raises:
        ValueError: a method that reads a target, and no target; `X_target` beside `sample_domain`; one class; rows that
            are not finite.

    Inside ``make_pipeline`` and ``GridSearchCV``; ``sample_domain`` is routed by default as skada's estimators do.

    Pedregosa et al., Scikit-learn, 2011, https://jmlr.org/papers/v12/pedregosa11a.html; the papers of the methods are
    at the functions of :mod:`adapt.domain`.

    >>> X, y = np.array([[0.0], [0.2], [1.0], [1.2]]), ["cold", "cold", "warm", "warm"]
    >>> classify = TransferClassifier("coral", steps=60, random_state=0).fit(X, y, X_target=X + 0.1)
    >>> classify.predict([[0.1], [1.2]]).tolist()
    ['cold', 'warm']
    """

    __metadata_request__predict_proba = ROUTED_ANSWER

    def fit(self, X: Any, y: Any, *, X_target: Any = None, sample_domain: Any = None) -> "TransferClassifier":
        """Learn from ``(n, d)`` rows; return the estimator.

        Args:
            X: rows of the source; with `sample_domain` the rows of both domains.
            y: a class for each row of X. What stands beside a row of the target is not read.
            X_target: ``(m, d)`` rows of the target, without labels.
            sample_domain: in place of `X_target`, a number for each row: positive for the source, negative for the
                target, as in skada.
        """
        X, y, target = self._rows(X, y, X_target, sample_domain)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must have at least two classes, got one class, {self.classes_[0]!r}.")
        self.method_, terms = self._terms(CLASSES, target, "im")
        make_head = partial(heads.Classifier, classes=[str(c) for c in self.classes_])
        return self._train(X, torch.as_tensor(numbers), target, make_head, terms)

    def predict_proba(self, X: Any, *, sample_domain: Any = None, allow_source: Any = None) -> ndarray:
        """Return ``(n, classes)`` probabilities, in the order of ``classes_``; the domain of a row changes nothing."""
        return self._outputs(X).softmax(1).numpy()

    def predict(self, X: Any, *, sample_domain: Any = None, allow_source: Any = None) -> ndarray:
        """Return ``(n,)`` classes; the domain of a row changes nothing."""
        numbers = self._outputs(X).argmax(1).numpy()
        return self.classes_[numbers]


class TransferRegressor(RegressorMixin, Transfer):
    r"""A regressor of scikit-learn that learns from a labelled source and adapts to an unlabelled target.

    .. math:: \min \; \frac1n \sum_i \left( \frac{h(f(x_i)) - y_i}{\sigma_y} \right)^2 + \text{terms of the method}

    The arguments are the arguments of :class:`TransferClassifier`, with the methods ``"source only"``, ``"coral"``,
    ``"mmd"`` and ``"dann"``, or a function. None is ``"source only"``: no single method is known to help
    with numbers, on 20 pairs of tables (`docs/selection.md`).

    Attributes:
        method_: the name of the method.
        n_features_in_: columns.

    Raises:
        ValueError: as :class:`TransferClassifier`.

    Related: :func:`adapt.domain.rsd`, by a function; it asks for fewer rows in a batch than features.

    Sun and Saenko, Deep CORAL, 2016, https://arxiv.org/abs/1607.01719

    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> line = TransferRegressor("coral", steps=100, random_state=0).fit(X, 3 * X[:, 0], X_target=X + 0.1)
    >>> abs(float(line.predict([[0.5]])[0]) - 1.5) < 0.2
    True
    """

    def fit(self, X: Any, y: Any, *, X_target: Any = None, sample_domain: Any = None) -> "TransferRegressor":
        """Learn from ``(n, d)`` rows and ``(n,)`` numbers; the arguments of :meth:`TransferClassifier.fit`."""
        X, y, target = self._rows(X, y, X_target, sample_domain)
        self.method_, terms = self._terms(NUMBERS, target, PLAIN)
        return self._train(X, torch.as_tensor(y.astype(np.float32)), target, heads.Regressor, terms)

    def predict(self, X: Any, *, sample_domain: Any = None, allow_source: Any = None) -> ndarray:
        """Return ``(n,)`` numbers in the units of `y`; the domain of a row changes nothing."""
        return self._outputs(X).numpy()


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of scikit-learn for few rows of a class, on the features of a frozen encoder: one row is enough.

    Args:
        method: ``"centroid"`` (cosine to the mean of a class), ``"ridge"``, ``"logistic"``; or an inductive method of
            :mod:`adapt.fewshot`, ``fewshot.lda()`` say.
        encoder: frozen, from inputs to ``(n, d)`` features. None: the rows are features already. Scale columns of
            unequal units before, with ``make_pipeline(StandardScaler(), FewShotClassifier())``.

    Attributes:
        classes_: the classes as given.
        n_features_in_: columns.

    Raises:
        ValueError: one class; rows that are not finite.

    See :func:`adapt.fewshot.fit`, which does the work, for a class "unknown" and texts.

    Snell et al., Prototypical Networks for Few-shot Learning, 2017, https://arxiv.org/abs/1703.05175

    >>> FewShotClassifier().fit([[1.0, 0.0], [0.0, 1.0]], ["ada", "bob"]).predict([[2.0, 0.1]]).tolist()
    ['ada']
    """

    def __init__(self, method: Any = "centroid", *, encoder: nn.Module | None = None):
        self.method = method
        self.encoder = encoder

    def fit(self, X: Any, y: Any) -> "FewShotClassifier":
        """Learn from ``(n, d)`` features, or ``(n, ...)`` inputs of the encoder, and a class for each row."""
        X, y = validate_data(self, X, y, **self._form())
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"`y` must have at least two classes, got one class, {self.classes_[0]!r}.")
        if isinstance(self.method, str) and self.method not in FEW:
            raise ValueError(f"`method` must be one of {', '.join(map(repr, FEW))} or a method, got {self.method!r}.")
        method = FEW[self.method]() if isinstance(self.method, str) else self.method
        encoder = encoders.wrap(nn.Identity(), X.shape[1]) if self.encoder is None else deepcopy(self.encoder)
        names = [str(c) for c in self.classes_]
        data = TensorDataset(_tensor(X), torch.as_tensor(numbers))
        self._model = fewshot.fit(encoder, data, method=method, classes=names)
        return self

    def predict_proba(self, X: Any) -> ndarray:
        """Return ``(n, classes)`` probabilities, in the order of ``classes_``."""
        check_is_fitted(self, "_model")
        X = validate_data(self, X, reset=False, **self._form())
        return self._model.outputs(_tensor(X)).double().softmax(1).float().numpy()

    def predict(self, X: Any) -> ndarray:
        """Return ``(n,)`` classes."""
        numbers = self.predict_proba(X).argmax(1)
        return self.classes_[numbers]

    def model(self) -> Model:
        """Return the :class:`adapt.Model` of :func:`adapt.fewshot.fit`, for ``save`` and prediction by name."""
        check_is_fitted(self, "_model")
        return self._model

    def _form(self) -> dict[str, Any]:
        return {"dtype": "numeric", "allow_nd": self.encoder is not None}


def _network(columns: int, hidden: int) -> nn.Module:
    layers = nn.Linear(columns, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
    return encoders.wrap(nn.Sequential(*layers), hidden)


def _tensor(X: ndarray) -> Tensor:
    return torch.as_tensor(np.array(X, dtype=np.float32))
