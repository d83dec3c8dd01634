"""Whether the discriminator of an adversarial method does its work."""

from adapt.report._logged_values import History, Series, last_third, series_of
from adapt.report.interval import Interval
from adapt.report.paired import mean_interval

TAG = "domain_accuracy/"
LEAST = 4  # log points in the last third
CHANCE, LEARNED, SURE = 0.6, 0.65, 0.9  # accuracies: below, by chance; once above, had learned; above, not deceived
ASK = "Give `a_distance` of the features after the training: a new classifier tells whether the domains are alike."
APART = 0.5  # A-distance of a classifier that is right in 62.5 % of the rows


def adversary(history: History, *, a_distance: Interval | None = None) -> str:
    r"""Say for each adversarial term of a run whether the discriminator does its work.

    ``domain.dann``, ``cdan``, ``adda``, ``vada``, ``advent``, ``iwan`` and ``pada`` log ``domain_accuracy/<name>``:
    the accuracy of the discriminator on a batch, with both domains at equal weight. The sentence compares the mean of
    the last third of the steps, with Student's interval over the log points, with the highest mean of a sixth before:

    - at least 90 % at the end: the discriminator is not deceived, and the features are not aligned;
    - around 50 % at the end, and more before: the features deceive the discriminator;
    - around 50 % from the first to the last step: deceived from the start, never learned, or nothing to learn;
    - below 50 %: the two players swing;
    - between 60 and 90 %: encoder and discriminator hold each other.

    A deceived discriminator may only be weak. Only a new classifier on features after the training can tell: with
    `a_distance` the sentence says whether the new classifier tells the domains apart.

    Args:
        history: ``trainer.history`` of a run with a `log`, a progress bar or callbacks; or the curves of a record.
        a_distance: of the features after the training, ``report.discrepancy(...).a_distance``.

    Returns:
        One or two sentences for each discriminator. Aligned features are no proof of a better target score: classes may
        be aligned with wrong classes.

    Raises:
        TypeError: a `history` of another form.

    >>> adversary([{"step": 50 * k, "domain_accuracy/dann": 0.97} for k in range(20)])[:50]
    'dann: the discriminator tells the domains apart to'
    """
    found = {tag.removeprefix(TAG): points for tag, points in series_of(history).items() if tag.startswith(TAG)}
    if not found:
        return (
            "No scalar of a discriminator was logged: the run has no adversarial term, or had neither a log folder nor "
            "a progress bar."
        )
    said = [f"{name}: {_judge(points)}" for name, points in found.items()]
    said.append(ASK if a_distance is None else _of_a_new_classifier(a_distance))
    return " ".join(said)


def _judge(points: Series) -> str:
    steps, values = points
    late = last_third(points)[1]
    if len(late) < LEAST:
        return (
            f"{len(values)} log points are too few to judge the discriminator, at least {3 * LEAST} are needed: lower "
            "`log_every`."
        )
    end = mean_interval(late)
    sixth = (steps - steps[0]) * 6 // (steps[-1] - steps[0])
    before = max(values[sixth == k].mean() for k in range(4) if (sixth == k).any())
    right = f"{100 * end.value:.0f} % of the rows"
    if end.value >= SURE:
        return (
            f"the discriminator tells the domains apart to the end, in {right}: the features are not aligned. Raise "
            "the `strength` or the `weight` of the term, or train longer."
        )
    if end.high < 0.5:
        return (
            f"the discriminator is right in {right}, less than by chance: the two players swing. Lower the `strength` "
            "or the learning rate."
        )
    if end.value < CHANCE:
        if before > max(LEARNED, end.high):
            return (
                f"the features deceive the discriminator: it was right in {100 * before:.0f} % of the rows, and is "
                f"right in {right} at the end. The discriminator does its work."
            )
        return (
            f"the discriminator is right in {right}, as by chance, from the first to the last step. Either the "
            "features have deceived it from the start, or it has never learned, or the domains were alike."
        )
    return (
        f"the discriminator is right in {right} ({100 * end.low:.0f} to {100 * end.high:.0f}): the features are "
        "aligned in part, and the two players hold each other."
    )


def _of_a_new_classifier(a_distance: Interval) -> str:
    shown = f"A-distance {a_distance.shown(2)}"
    if a_distance.low > APART:
        return f"A new classifier still tells the domains apart ({shown}): the features are not aligned."
    if a_distance.high < APART:
        return f"A new classifier cannot tell the domains apart either ({shown}): the features are aligned."
    return f"A new classifier tells the domains apart a little ({shown})."
