"""How often the intervals and p-values of `report.discrepancy` are right; a small sample runs in the test suite.

python -m tests.calibration_of_discrepancy          200 draws of each row, 10 minutes on one core
python -m tests.calibration_of_discrepancy 1000     more draws
"""

import sys

import numpy
import torch

from adapt.report._a_distance import a_distance
from adapt.report._label_shift import label_shift
from adapt.transductive.two_samples import mmd_test


def clouds(rows, dim, distance, seed):
    """Two Gaussian clouds, `distance` apart in all directions together."""
    draw = numpy.random.default_rng([seed, rows, dim])
    x = draw.standard_normal((2 * rows, dim))
    x[rows:] += distance / dim**0.5
    return x[:rows], x[rows:]


def p_of_equal_clouds(seed, rows=20, dim=3, permutations=99):
    x, y = (torch.from_numpy(part) for part in clouds(rows, dim, 0.0, seed))
    return mmd_test(x, y, permutations, numpy.random.default_rng(seed))[1]


def shares_of_classes(source, target, n, m, seed, apart=2.0):
    """Logits and labels of source and target rows with given shares; the inputs of a class are alike."""
    draw = numpy.random.default_rng([seed, n, m, len(source)])
    found = []
    for shares, rows in ((source, n), (target, m)):
        labels = draw.choice(len(shares), rows, p=shares)
        x = apart * numpy.eye(len(shares))[labels] + draw.standard_normal((rows, len(shares)))
        found += [2 * apart * x, labels]  # over-confident by a factor of 2
    return found


def main(draws):
    for rows, dim, distance in [(100, 2000, 0), (100, 50, 0), (100, 5, 0), (500, 5, 0), (100, 20, 1.3), (100, 2000, 4)]:
        found = [a_distance(*clouds(rows, dim, distance, s), seed=s) for s in range(draws)]
        truth = numpy.mean([f.value for f in found])  # of classifiers trained on this number of rows
        covers = numpy.mean([f.low <= truth <= f.high for f in found])
        above = numpy.mean([f.low > 0 for f in found])
        print(
            f"A-distance, {rows} rows, {dim} features, distance {distance}: mean {truth:.2f}, interval covers the mean "
            f"in {covers:.1%}, lies above 0 in {above:.1%}"
        )
    for rows, dim in [(20, 3), (100, 200)]:
        p = numpy.array([p_of_equal_clouds(s, rows, dim, 199) for s in range(draws)])
        shares = ", ".join(f"{numpy.mean(p <= level):.1%} <= {level}" for level in (0.05, 0.25, 0.5, 0.75))
        print(f"MMD of equal domains, {rows} rows, {dim} features: {shares}")
    for classes, n, m in [(2, 100, 100), (2, 200, 2000), (10, 500, 500), (10, 200, 2000)]:
        even, slope = numpy.full(classes, 1 / classes), numpy.linspace(1, 3, classes)
        slope /= slope.sum()
        alarms, seen, covered = [], [], []
        for s in range(draws):
            alarms.append(label_shift(*shares_of_classes(even, even, n, m, s)[:3]).shifted)
            found = label_shift(*shares_of_classes(even, slope, n, m, s)[:3])
            seen.append(found.shifted)
            covered.append(numpy.mean([f.low <= q <= f.high for f, q in zip(found.target, slope, strict=True)]))
        print(
            f"label shift, {classes} classes, {n} and {m} rows: interval covers in {numpy.mean(covered):.1%}, alarm "
            f"without a shift {numpy.mean(alarms):.1%}, with shares from 1 to 3 {numpy.mean(seen):.1%}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
