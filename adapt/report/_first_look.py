"""One call from two data sets and an encoder to a model, with a page about how the model came about."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapt import domain, heads
from adapt.datasets import splits
from adapt.engine import Model, Term, Trainer, cosine, supervised
from adapt.protocols import HasNames, MapStyle, offers
from adapt.randomness import untouched_randomness
from adapt.report._experiment import experiment
from adapt.report.records import Cell, Data
from adapt.streams import Stream
from losses.options import COUNT, POSITIVE, TRUTH, check

PLAIN = "source only"
Terms = Callable[[Any, Any], Term | list[Term]]
PANEL: dict[str, Terms] = {  # the fewest that can vote: `select.choose` asks for three beside source-only
    "CORAL": lambda encoder, head: domain.deep_coral(),
    "MK-MMD": lambda encoder, head: domain.dan(),
    "DANN": lambda encoder, head: domain.dann(encoder),
    "MCC": lambda encoder, head: domain.mcc(head),
}
WARM, TIMED = 2, 4  # steps before the clock starts, and steps that are timed
HELD_OUT = 0.2  # of the source, for the choice


def first_look(
    source: MapStyle,
    target: MapStyle,
    encoder: nn.Module | Callable[[], nn.Module],
    *,
    test: MapStyle | None = None,
    folder: str | Path = "runs/first_look",
    methods: Mapping[str, Terms] | None = None,
    seeds: int = 3,
    steps: int = 300,
    batch_size: int = 64,
    rate: float = 1e-3,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Model:
    """Train source-only and a small panel of methods, choose without a target label, and return the chosen model.

    ``model = report.first_look(source, target, encoders.small_conv, test=test)``

    The call prints the cost first: the number of steps, and the seconds by a few timed steps of each method. Then the
    call prints the choice of :func:`adapt.select.choose` with the reasons. The settings are the same for all methods,
    and no setting is tuned: a first look, and no last word. :func:`adapt.report.experiment` has the rest.

    Args:
        source: labelled rows, a class for each row. A fifth is held out for the choice.
        target: rows of the target. Labels, where there are labels, are not read.
        encoder: a module, copied for each run; or a function that makes the encoder, ``encoders.small_conv``. The
            function draws other initial weights for each seed.
        test: labelled rows of the target, for the page alone: the choice does not see these rows. None: no page is
            written, because a page compares scores on the target.
        folder: of the experiment. The same call goes on where a killed call ended; another call needs another folder.
        methods: by name, a function from encoder and head to terms. None: CORAL, MK-MMD, DANN and MCC with the
            defaults of :mod:`adapt.domain`. A vote needs at least three.
        seeds: runs of each method, 3. The page says how many seeds would decide.
        steps: of each run, 300.
        batch_size: rows of each domain in one step, 64, at most all rows.
        rate: learning rate at the start, 1e-3, falling along a cosine: AdamW.
        device: None takes the GPU where there is one.
        progress: show a bar over the runs.

    Returns:
        The model of the first seed of the chosen method. Where the guard gives no choice, the printed reasons say so,
        and the model is source-only.

    Raises:
        ValueError: a source without classes; options out of range; a folder with another experiment.

    Related: :func:`adapt.bridges.sklearn.TransferClassifier` for tables.
    """
    check(COUNT, seeds=seeds, steps=steps, batch_size=batch_size)
    check(POSITIVE, rate=rate)
    check(TRUTH, progress=progress)
    panel: dict[str, Terms] = {PLAIN: lambda encoder, head: []} | dict(PANEL if methods is None else methods)
    names, parts = _names(source), splits(source, "first look", validation=0.0, test=HELD_OUT)
    folder = Path(folder)
    run = partial(_trainer, panel, names, parts.train, target, encoder, batch_size=batch_size, rate=rate, device=device)
    print(_cost(run, panel, seeds, steps))

    def cell_of(cell: Cell) -> Any:
        trainer, head = run(cell.method, cell.seed, log=_place(folder, cell.method, cell.seed))
        return trainer.fit(steps), head

    result = experiment(
        folder, dict.fromkeys(panel, cell_of), seeds, PLAIN,
        data=Data(test=parts.test if test is None else test, source=parts.test, target=target, names=names),
        settings={"steps": steps, "batch size": batch_size, "rate": rate, "page": test is not None},
        progress=progress,
    )  # fmt: skip
    if failed := [record for record in result.failed if record.method == PLAIN]:
        raise ValueError(f"source-only failed, so there is nothing to compare with: {failed[0].error}")
    choice = result.choose(others=False)
    print(choice)
    method = choice.chosen[0].method if choice.adapted else PLAIN
    page = "no page: a page compares scores on the target, give `test=`" if test is None else f"page: {result.page()}"
    result.json()  # for `python -m adapt report`
    print(f"{page}\nmodel: {method}")
    with untouched_randomness():
        first, head = _parts(encoder, names, seed=0)
    return Model.from_checkpoint(_place(folder, method, 0), head, encoder=first)


def _trainer(
    panel: Mapping[str, Terms], names: list[str], train: MapStyle, target: MapStyle, given: Any, method: str, seed: int,
    *, batch_size: int, rate: float, device: Any, log: Path | None = None,
) -> tuple[Trainer, nn.Module]:  # fmt: skip
    """Return the trainer of one run before the first step, and the head."""
    encoder, head = _parts(given, names, seed)
    added = panel[method](encoder, head)
    added = [added] if isinstance(added, Term) else list(added)
    streams = {"source": Stream(train, min(batch_size, len(train)))}
    if added:
        streams["target"] = Stream(target, min(batch_size, len(target)), labels=False)
    trainer = Trainer(
        encoder,
        [supervised(head, on="source"), *added],
        streams,
        optimizer=partial(torch.optim.AdamW, lr=rate),
        schedule=cosine(),
        log=log,
        log_every=25,
        seed=seed,
        device=device,
        progress=False,
    )
    return trainer, head


def _parts(given: Any, names: list[str], seed: int) -> tuple[Any, nn.Module]:
    """Return an encoder and a head; the weights are a function of the seed."""
    torch.manual_seed(seed)  # the experiment, and the clock, put the state of the caller back
    encoder: Any = deepcopy(given) if isinstance(given, nn.Module) else given()
    return encoder, heads.Classifier(encoder, classes=names)


def _cost(run: Callable[..., Any], panel: Mapping[str, Terms], seeds: int, steps: int) -> str:
    """Return the cost in words, by a few timed steps of each method."""
    seconds = 0.0
    for method in panel:
        with untouched_randomness():
            trainer, _ = run(method, 0)
            clock = 0.0
            for step in trainer.steps(WARM + TIMED):
                if step.number == WARM:
                    clock = time.perf_counter()
            seconds += (time.perf_counter() - clock) / TIMED
    total = len(panel) * seeds * steps
    return (
        f"first look: {len(panel)} methods x {seeds} seeds x {steps:,} steps = {total:,} steps, about "
        f"{seconds * seeds * steps:,.0f} s of training (by {TIMED} timed steps of each method)"
    )


def _place(folder: Path, method: str, seed: int) -> Path:
    return folder / "training" / f"{method.replace(' ', '_')}_seed-{seed}"


def _names(source: MapStyle) -> list[str]:
    """Return the names of the classes, or the numbers as names."""
    if offers(source, HasNames) and source.names is not None:
        return [str(name) for name in source.names]
    labels = Stream(source, 1).all_labels()
    if not isinstance(labels, torch.Tensor) or labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            "`source` must have a class for each row, and names or labels in memory: `datasets.arrays(X, y)` and "
            "`datasets.images(folder)` have both."
        )
    return [str(number) for number in range(int(labels.max()) + 1)]
