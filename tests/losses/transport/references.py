"""Slow, obvious float64 values, written from the papers' equations; they share no code with `losses`.

Exact plans come from a linear program, entropic ones from Newton's method on the dual. What carries no gradient by
definition (a plan, a direction, a temperature) is computed from `frozen`.
"""

import math

import numpy as np
from scipy.optimize import linprog

DIRECTIONS = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, -0.8], [1.0, 0.0, 0.0], [-0.48, 0.6, 0.64], [1 / 3, 2 / 3, 2 / 3]])


def distribution(weights, n):
    return np.full(n, 1 / n) if weights is None else np.asarray(weights, float) / np.sum(weights)


def line(p, q, a, b, power):
    """Transport on a line: the north-west corner rule on sorted points."""
    left, right = sorted(zip(p, a, strict=True)), sorted(zip(q, b, strict=True))
    value, i, j = 0.0, 0, 0
    (u, s), (v, t) = left[0], right[0]
    while True:
        moved = min(s, t)
        value += moved * abs(u - v) ** power
        s, t = s - moved, t - moved
        if s <= 1e-15:
            i += 1
            if i == len(left):
                return value
            u, s = left[i]
        if t <= 1e-15:
            j += 1
            if j == len(right):
                return value
            v, t = right[j]


def sliced_wasserstein(x, y, source_weights=None, target_weights=None, *, directions=DIRECTIONS, power=2, frozen=None):
    a, b = distribution(source_weights, len(x)), distribution(target_weights, len(y))
    return sum(line(x @ w, y @ w, a, b, power) for w in directions) / len(directions)


def matched(x, y, w):
    """Equally many copies of all rows, in the order of their projections."""
    n, m = len(x), len(y)
    return np.repeat(x[np.argsort(x @ w)], m, 0), np.repeat(y[np.argsort(y @ w)], n, 0)


def max_sliced_wasserstein(x, y, *, steps=10, directions=DIRECTIONS, power=2, frozen=None):
    s, t = frozen or (x, y)
    a, b = distribution(None, len(x)), distribution(None, len(y))
    best, highest = None, -1
    for w in directions:
        for k in range(steps + 1):
            if k:
                left, right = matched(s, t, w)
                difference = left - right
                slope = np.zeros(len(w))
                for row in difference:
                    slope += power * abs(row @ w) ** (power - 1) * np.sign(row @ w) * row / len(difference)
                w = w + slope / np.linalg.norm(slope)
                w = w / np.linalg.norm(w)
            value = line(s @ w, t @ w, a, b, power)
            if value > highest:
                best, highest = w, value
    return line(x @ best, y @ best, a, b, power)


def costs(x, y, power):
    return np.array([[np.sqrt(((p - q) ** 2).sum()) ** power for q in y] for p in x])


def best_plan(cost, a, b):
    n, m = cost.shape
    rows = [[float(k // m == i) for k in range(n * m)] for i in range(n)]
    columns = [[float(k % m == j) for k in range(n * m)] for j in range(m)]
    # the last equation follows from the others
    found = linprog(
        cost.ravel(), A_eq=np.array(rows + columns[:-1]), b_eq=np.concatenate([a, b[:-1]]), method="highs-ds"
    )
    assert found.status == 0, found.message
    return found.x.reshape(n, m)


def exact_transport(x, y, source_weights=None, target_weights=None, *, power=2, frozen=None):
    s, t = frozen[:2] if frozen else (x, y)
    a, b = distribution(source_weights, len(x)), distribution(target_weights, len(y))
    return float((best_plan(costs(s, t, power), a, b) * costs(x, y, power)).sum())


def entropic(C, a, b, epsilon, strength):
    """The plan, by Newton's method on the dual's first-order conditions: marginals a, b or, soft, a exp(-f / rho)."""
    keep_a, keep_b = a > 0, b > 0
    plan = np.zeros_like(C)
    C, a, b = C[np.ix_(keep_a, keep_b)], a[keep_a], b[keep_b]
    n, soft = len(a), 0 if strength is None else 1 / strength
    damping = 1 / (1 + epsilon * soft)
    g = np.zeros(len(b))
    for _ in range(30):  # to come near
        f = -damping * epsilon * np.logaddexp.reduce(np.log(b) + (g - C) / epsilon, axis=1)
        g = -damping * epsilon * np.logaddexp.reduce(np.log(a)[:, None] + (f[:, None] - C) / epsilon, axis=0)
    for _ in range(100):
        P = a[:, None] * b * np.exp((f[:, None] + g - C) / epsilon)
        wanted = np.concatenate([a * np.exp(-f * soft), b * np.exp(-g * soft)])
        found = np.concatenate([P.sum(1), P.sum(0)])
        if np.abs(wanted - found).max() < 1e-15:
            break
        slope = np.diag(found / epsilon + wanted * soft)
        slope[:n, n:], slope[n:, :n] = P / epsilon, P.T / epsilon
        step = np.linalg.lstsq(slope, wanted - found)[0]
        step *= min(1, epsilon / np.abs(step).max())
        f, g = f + step[:n], g + step[n:]
    assert np.abs(wanted - found).max() < 1e-14
    plan[np.ix_(keep_a, keep_b)] = P
    return plan


def divergence(p, q):
    """Generalised Kullback-Leibler divergence of nonnegative numbers."""
    p, q = np.ravel(p), np.ravel(q)
    return sum((u * math.log(u / v) if u > 0 else 0.0) - u + v for u, v in zip(p, q, strict=True) if v > 0)


def entropic_cost(x, y, a, b, epsilon, power, reach):
    """The primal objective at its minimum."""
    C, strength = costs(x, y, power) / power, None if reach is None else reach**power
    plan = entropic(C, a, b, epsilon, strength)
    value = (plan * C).sum() + epsilon * divergence(plan, np.outer(a, b))
    if reach is not None:
        value += strength * (divergence(plan.sum(1), a) + divergence(plan.sum(0), b))
    return value


def sinkhorn_divergence(
    x, y, source_weights=None, target_weights=None, *, blur=None, power=2, reach=None, debias=True, frozen=None
):
    a, b = distribution(source_weights, len(x)), distribution(target_weights, len(y))
    s, t = frozen[:2] if frozen else (x, y)
    epsilon = 0.05 * a @ costs(s, t, power) @ b / power if blur is None else blur**power
    cost = lambda p, q, u, v: entropic_cost(p, q, u, v, epsilon, power, reach)  # noqa: E731
    value = cost(x, y, a, b)
    return value - (cost(x, x, a, a) + cost(y, y, b, b)) / 2 if debias else value


def joint_costs(x, y, labels, z, feature_weight, label_weight):
    cross = [[math.log(sum(math.exp(v - row[c]) for v in row)) for row in z] for c in labels]
    return feature_weight * costs(x, y, 2) + label_weight * np.array(cross)


def joint_transport(x, y, labels, z, *, feature_weight=1.0, label_weight=1.0, plan="exact", frozen=None):
    M = joint_costs(x, y, labels, z, feature_weight, label_weight)
    still = joint_costs(*frozen, feature_weight, label_weight) if frozen else M
    a, b = distribution(None, len(x)), distribution(None, len(y))
    gamma = best_plan(still, a, b) if plan == "exact" else entropic(still, a, b, 0.05 * still.mean(), None)
    return float((gamma * M).sum())


def gaussian_wasserstein(x, y, frozen=None):
    d = len(x[0])
    C, D = np.cov(x, rowvar=False).reshape(d, d), np.cov(y, rowvar=False).reshape(d, d)
    squares = np.linalg.eigvals(C @ D).real  # of the root of C^1/2 D C^1/2
    cross = sum(math.sqrt(v) for v in squares if v > 1e-13 * max(squares))  # the others are zeros, rounded
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(C) + np.trace(D) - 2 * cross)
