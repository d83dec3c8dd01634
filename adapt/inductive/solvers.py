"""Linear heads on standardised features, solved for one penalty after the other."""

import numpy


class Logistic:
    """Multinomial logistic regression.

    Args:
        x: ``(n, d)``.
        y: ``(n,)`` classes.
        classes: number of classes.
        weight: ``(classes,)`` of the rows of each class, or None. The mean is divided by the sum of the weights.
    """

    def __init__(self, x: numpy.ndarray, y: numpy.ndarray, classes: int, weight: numpy.ndarray | None = None):
        self.curvature, self.axes = axes_of(x)
        self.z, self.Y = x @ self.axes, numpy.eye(classes)[y]
        rows = numpy.ones(len(y)) if weight is None else weight[y]
        self.rows = (rows / rows.sum())[:, None]
        self.W = numpy.zeros((len(self.curvature) + 1, classes))  # the bias last

    def solve(self, penalty: float) -> numpy.ndarray:
        """Return ``(d + 1, classes)`` weights, the bias last. The search begins at the weights of the call before."""
        from scipy.optimize import minimize

        scale = 1 / numpy.sqrt(numpy.append(self.curvature / 2 + penalty, 0.5))[:, None]

        def loss(flat: numpy.ndarray) -> tuple[float, numpy.ndarray]:
            W = scale * flat.reshape(self.W.shape)
            logits = self.z @ W[:-1] + W[-1]
            logits -= logits.max(1, keepdims=True)
            p = numpy.exp(logits)
            total = p.sum(1, keepdims=True)
            each = numpy.log(total) - (self.Y * logits).sum(1, keepdims=True)
            value = (self.rows * each).sum() + penalty / 2 * (W[:-1] ** 2).sum()
            p /= total
            p -= self.Y
            p *= self.rows
            gradient = numpy.vstack([self.z.T @ p + penalty * W[:-1], p.sum(0)])
            return value, (scale * gradient).ravel()

        options = {"maxiter": 500, "gtol": 1e-5, "ftol": 1e-8}
        flat = minimize(loss, (self.W / scale).ravel(), jac=True, method="L-BFGS-B", options=options).x
        self.W = scale * flat.reshape(self.W.shape)
        return numpy.vstack([self.axes @ self.W[:-1], self.W[-1]])


class Ridge:
    """Ridge regression, for each output on the rows with its label.

    Args:
        x: ``(n, d)``.
        y: ``(n, outputs)``; NaN where a label is missing.
    """

    def __init__(self, x: numpy.ndarray, y: numpy.ndarray):
        self.d = x.shape[1]
        self.parts = [self._part(x[there], column[there]) for column in y.T for there in [~numpy.isnan(column)]]

    def _part(self, x: numpy.ndarray, y: numpy.ndarray) -> tuple:
        if not len(y):
            return numpy.ones(0), numpy.zeros((self.d, 0)), numpy.zeros(0), numpy.zeros(self.d), 0.0
        centre, middle = x.mean(0), y.mean()
        curvature, axes = axes_of(x - centre)
        return curvature, axes, ((x - centre) @ axes).T @ (y - middle) / len(y), centre, middle

    def solve(self, penalty: float) -> numpy.ndarray:
        """Return ``(d + 1, outputs)`` weights, the bias last; 0 for an output without a label."""
        columns = []
        for curvature, axes, product, centre, middle in self.parts:
            w = axes @ (product / (curvature + penalty))
            columns.append(numpy.append(w, middle - centre @ w))
        return numpy.stack(columns, 1)


def axes_of(x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    r"""Return the curvatures :math:`(r,)` and the principal axes ``(d, r)`` of :math:`x^\top x / n`.

    Axes with a curvature below 1e-12 of the largest are left out: along these axes the weights are zero.
    """
    n, d = x.shape
    curvature, axes = numpy.linalg.eigh((x.T @ x if d <= n else x @ x.T) / n)
    kept = curvature > 1e-12 * curvature[-1]
    curvature, axes = curvature[kept], axes[:, kept]
    return curvature, axes if d <= n else x.T @ axes / numpy.sqrt(n * curvature)
