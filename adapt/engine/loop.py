"""The loop under `Trainer.fit`: step after step, with what is logged, watched and saved on the way."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from adapt.engine import checkpoint
from adapt.engine.log import Log
from adapt.engine.monitor import Speed, as_numbers, term_values
from adapt.engine.objective import Objective
from adapt.engine.plan import Plan, say_what_changes
from adapt.randomness import untouched_randomness

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

Scalars = Mapping[str, Tensor | float]


class TakenStep:
    """A step that ``Trainer.steps`` has taken.

    Attributes:
        number: of the step; the first step of a run is 0, as in the log.
        progress: the share of the plan that was finished before the step, in [0, 1): schedules saw this value.
    """

    def __init__(self, number: int, progress: float, scalars: Scalars, terms: Mapping[str, Objective]):
        self.number, self.progress, self._scalars, self._terms = number, progress, scalars, terms
        self._numbers: dict[str, float] | None = None

    def __repr__(self) -> str:
        return f"TakenStep(number={self.number}, progress={self.progress:.3g})"

    @property
    def scalars(self) -> dict[str, float]:
        """The losses, weights and learning rates of the step by the names of the log; logged steps have all scalars.

        Reading waits for the device. On several ranks every rank must read, since the values are averaged over the
        ranks.
        """
        if self._numbers is None:
            parts = [term_values(terms, prefix=prefix) for prefix, terms in self._terms.items()]
            found = {name: value for part in parts for name, value in part.items()}
            self._numbers = as_numbers(found | dict(self._scalars))
        return self._numbers


def run(trainer: "Trainer", plan: Plan, *, shown: bool = False) -> Iterator[TakenStep]:
    """Take steps until ``plan.until``; yield after each step. The end of the loop is scored and saved.

    A caller who closes the iterator earlier leaves a trainer that can go on, or save.

    Args:
        shown: whether a caller may read the scalars of each step.

    Raises:
        RuntimeError: another loop of the trainer is open.
    """
    if trainer.looping:
        raise RuntimeError(
            "a loop of `trainer.steps` is open: leave the loop, or call `close()` on it, before this one."
        )
    trainer.looping = True
    try:
        trainer.claim_folder()
        follows = bool(trainer.asked_for)
        say_what_changes(plan, trainer.step, trainer.planned, follows_progress=follows, resumed=trainer.resumed)
        if trainer.step < plan.until:
            trainer.planned, trainer.resumed = plan.planned, False
            yield from _logged(trainer, plan.until, shown)
    finally:
        trainer.looping, trainer.seen = False, None


def _logged(trainer: "Trainer", until: int, shown: bool) -> Iterator[TakenStep]:
    log = Log(trainer.folder, trainer.step) if trainer.folder and trainer.rank == 0 else None
    try:
        yield from _steps(trainer, until, log, shown)
        _finish(trainer, log)
    finally:
        if log:
            log.close()


def with_users_randomness(steps: Iterator[TakenStep]) -> Iterator[TakenStep]:
    """Yield the same steps; the caller finds the global random states as the caller left them."""
    try:
        while True:
            with untouched_randomness():
                step = next(steps, None)
            if step is None:
                return
            yield step
    finally:
        with untouched_randomness():
            steps.close()  # type: ignore[attr-defined]  # a generator


def _steps(trainer: "Trainer", until: int, log: Log | None, shown: bool) -> Iterator[TakenStep]:
    from tqdm import tqdm

    start, quiet = trainer.step * trainer.accumulate, not (trainer.progress and trainer.rank == 0)
    batches = {
        name: stream.batches(name, trainer.seed, start, rank=trainer.rank, world=trainer.world)
        for name, stream in trainer.streams.items()
    }
    speed = Speed(sum(s.batch_size for s in trainer.streams.values()) * trainer.accumulate)
    trainer.network.train()
    with tqdm(total=until, initial=trainer.step, disable=quiet, unit="step") as bar:
        while trainer.step < until:
            number = trainer.step
            if number % trainer.watch_every == 0:
                trainer._watch(log)
            logging = number % trainer.log_every == 0 and (trainer.progress or trainer.folder is not None)
            seen: dict[str, Objective] = {}
            trainer.seen = seen if shown else None
            scalars: Scalars = trainer._step(batches, logging)
            if logging:
                trainer.finite.read()
                scalars = as_numbers(scalars) | speed.read()
                bar.set_postfix(loss=f"{scalars['loss/total']:.3g}" if "loss/total" in scalars else "")
                if log:
                    log.scalars(scalars, number)
            trainer.step += 1
            speed.steps += 1
            bar.update()
            _save_on_the_way(trainer, log)
            yield TakenStep(number, number / trainer.planned, scalars, seen)
            if trainer.step != number + 1:
                raise RuntimeError(
                    f"the trainer moved from step {number + 1} to step {trainer.step} inside of its own loop: leave "
                    "the loop of `steps` before `resume`."
                )


def _save_on_the_way(trainer: "Trainer", log: Log | None) -> None:
    if trainer.folder and trainer.step % trainer.save_every == 0:
        if log:
            log.flush()  # what is logged before a checkpoint is on disk with it
        trainer.save()


def _finish(trainer: "Trainer", log: Log | None) -> None:
    """Score and save; pictures come at the end of the plan alone: a part of a plan has none, so parts equal a whole."""
    if not trainer.folder:
        return
    if trainer.step >= trainer.planned:
        trainer._watch(log, final=True)
    if checkpoint.name(trainer.step) not in [p.name for p in checkpoint.newest_first(trainer.checkpoints)]:
        trainer.save()
