"""The loop under `Trainer.fit`: step after step, with what is logged, watched and saved on the way."""

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from adapt.engine import checkpoint, runtime, state
from adapt.engine.callbacks import calling
from adapt.engine.configuration import agree, configuration
from adapt.engine.folder import taken
from adapt.engine.history import FILE
from adapt.engine.log import Log
from adapt.engine.monitor import Speed, as_numbers, term_values
from adapt.engine.objective import Objective
from adapt.engine.plan import Plan, say_what_changes
from adapt.engine.signals import Signals
from adapt.engine.watching import Watched, look
from adapt.heads import Score
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
        RuntimeError: another loop of the trainer is open, or an earlier step did not end.
    """
    if trainer.looping:
        raise RuntimeError(
            "a loop of `trainer.steps` is open: leave the loop, or call `close()` on it, before this one."
        )
    state.check_whole(trainer)
    trainer.looping = True
    try:
        if trainer.folder is not None or trainer.world > 1:
            trainer.configured = configuration(trainer)
        if trainer.folder is not None:
            state.check_can_be_saved(trainer)
        if trainer.world > 1:
            agree(trainer, plan)
        with taken(trainer, plan):
            follows, left = bool(trainer.asked_for), trainer.step < plan.until and trainer.stopped is None
            ends = not trainer.finished and (trainer.step == plan.until or trainer.stopped is not None)
            if not ends:
                say_what_changes(plan, trainer.step, trainer.planned, follows_progress=follows, resumed=trainer.resumed)
            if left or ends:
                trainer.planned, trainer.resumed = plan.planned, False
                yield from _logged(trainer, plan.until, shown)
    finally:
        trainer.looping, trainer.seen = False, None


def _logged(trainer: "Trainer", until: int, shown: bool) -> Iterator[TakenStep]:
    folder = trainer.folder if trainer.rank == 0 else None
    log = Log(folder, trainer.step) if folder else None
    trainer.record.open(folder and folder / FILE, trainer.step)
    try:
        yield from _steps(trainer, until, log, shown)
        _finish(trainer, log)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, KeyboardInterrupt) and not trainer.signals.ending:
            log = None  # a second Ctrl-C may have left TensorBoard's thread in a state where `close` waits for ever
        _save_the_last_step(trainer, log, error)
        if trainer.world > 1 and isinstance(error, Exception):
            _tell_ranks(trainer, error)
        raise
    finally:
        calling.close(trainer.callbacks)
        trainer.record.close()
        if log:
            log.close()


def with_users_randomness(steps: Iterator[TakenStep], signals: Signals) -> Iterator[TakenStep]:
    """Yield the same steps; the caller finds global random states and handlers of signals as the caller left them."""
    try:
        while True:
            with untouched_randomness(), signals:
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
    heard = trainer.progress or trainer.folder is not None or bool(trainer.callbacks)
    trainer.learning.start()
    trainer.signals.start(trainer.step)
    with tqdm(total=until, initial=trainer.step, disable=quiet, unit="step") as bar:
        while trainer.step < until and trainer.stopped is None:
            number = trainer.step
            if number % trainer.watch_every == 0:
                _watch(trainer, log)
                if trainer.stopped is not None:
                    break
            logging = heard and number % trainer.log_every == 0
            seen: dict[str, Objective] = {}
            trainer.seen = seen if shown else None
            scalars: Scalars = trainer._step(batches, logging)
            if number % trainer.log_every == 0:
                trainer.finite.read()
            if logging:
                scalars = values = as_numbers(scalars) | speed.read()
                bar.set_postfix(loss=f"{values['loss/total']:.3g}" if "loss/total" in values else "")
                _tell(trainer, log, number, values, None)
            trainer.step += 1
            trainer.torn = trainer.finished = False
            speed.steps += 1
            bar.update()
            ends = trainer.step == until or trainer.stopped is not None  # the end saves after the scores
            if trainer.folder and trainer.step % trainer.save_every == 0 and not ends:
                _save(trainer, log)
            trainer.signals.check(trainer.step)
            yield TakenStep(number, number / trainer.planned, scalars, seen)
            if trainer.step != number + 1:
                raise RuntimeError(
                    f"the trainer moved from step {number + 1} to step {trainer.step} inside of its own loop: leave "
                    "the loop of `steps` before `resume`."
                )
    trainer.finite.read()


def _watch(trainer: "Trainer", log: Log | None, *, final: bool = False) -> dict[str, Watched]:
    """Score the watched sets, and tell the log, the history and the callbacks."""
    with trainer.signals.at_once():
        found = look(trainer, final=final)
    values = {tag: value for watched in found.values() for tag, value in watched.values.items()}
    _tell(trainer, log, trainer.step, values, {name: w.score for name, w in found.items() if w.score is not None})
    if log:
        if trainer.step == 0:
            log.text("settings", trainer.settings, 0)
        log.tasks(trainer.tasks.conflicts, trainer.step)
    return found


def _tell(
    trainer: "Trainer", log: Log | None, step: int, values: Mapping[str, float], scores: Mapping[str, Score] | None
) -> None:
    numbers = {tag: value for tag, value in values.items() if value == value}  # NaN: the task was not in the batch
    if numbers:
        trainer.record.add(step, numbers)
    if log:
        log.scalars(numbers, step)
    if scores is None or trainer.told_at != step:  # the end of a run scores again: callbacks hear of a step once
        trainer.told_at = trainer.told_at if scores is None else step
        torn = trainer.torn
        trainer.torn = torn or bool(trainer.callbacks)  # callbacks keep states, too
        calling.call(trainer, step, numbers, scores)
        trainer.torn = torn


def _save(trainer: "Trainer", log: Log | None) -> None:
    trainer.record.flush()  # what is logged before a checkpoint is on disk with it
    if log:
        log.flush()
    trainer.save()


def _tell_ranks(trainer: "Trainer", error: Exception) -> None:
    """Say on every rank why a rank has ended: the other ranks see a lost connection alone.

    Raises:
        RuntimeError: another rank ended before this rank.
    """
    found = runtime.word_of_others(trainer.step) if isinstance(error, RuntimeError) else None
    if found is not None:
        raise RuntimeError(f"{found}. This rank {trainer.rank} ends, too, at step {trainer.step}.") from error
    runtime.leave_word(trainer.step, f"{type(error).__name__}: {error}")


def _save_the_last_step(trainer: "Trainer", log: Log | None, error: BaseException) -> None:
    """Save before an error ends the run, where the error came between two steps, to all ranks."""
    whole = trainer.folder is not None and trainer.step > 0 and not trainer.torn
    everywhere = trainer.signals.ending or (isinstance(error, Exception) and trainer.world == 1)
    if not (whole and everywhere) or isinstance(error, checkpoint.NotWritten) or _saved(trainer):
        return
    try:
        _save(trainer, log)
    except Exception as second:
        warnings.warn(f"step {trainer.step} is not saved: {second}", stacklevel=2)


def _saved(trainer: "Trainer") -> bool:
    """Whether the checkpoint of this step is there, as rank 0 sees the folder, on all ranks.

    A late rank would find the checkpoint that rank 0 is just writing, and would leave rank 0 alone in the save.
    """
    steps = [path.name for path in checkpoint.newest_first(trainer.checkpoints)] if trainer.rank == 0 else []
    return runtime.gather_objects(checkpoint.name(trainer.step) in steps)[0]


def _finish(trainer: "Trainer", log: Log | None) -> None:
    """Score, save and draw, in this order: pictures that fail cost no checkpoint.

    Only the end of the plan has final scores and pictures: a part of a plan has none, so parts equal a whole.
    """
    ended = trainer.step >= trainer.planned or trainer.stopped is not None
    found = _watch(trainer, log, final=trainer.folder is not None) if ended else {}
    trainer.finished = True
    if trainer.folder:
        if not _saved(trainer):
            _save(trainer, log)
        if log and ended:
            log.pictures(found, trainer.step)
            scores = {f"final/{name}": w.score.value for name, w in found.items() if w.score is not None}
            log.hparams(trainer.settings, scores)
