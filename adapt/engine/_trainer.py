"""The trainer: any mixture of terms and phases in the same loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders import synchronize_batch_norm
from adapt.engine import door, runtime, state
from adapt.engine._model import Model, model_of_run
from adapt.engine.callbacks import Callback, calling
from adapt.engine.card import card_of_run
from adapt.engine.description import describe, plain
from adapt.engine.evaluate import Predictions, Unit, check_labelled, form_of, measure, predict, score, unit_of
from adapt.engine.finite import FiniteCheck
from adapt.engine.folder import EXIST
from adapt.engine.history import History
from adapt.engine.learning import Learning
from adapt.engine.loop import TakenStep, run, with_users_randomness
from adapt.engine.micro_batches import MicroBatches, inputs_of_step
from adapt.engine.monitor import monitor
from adapt.engine.objective import Objective, evaluate
from adapt.engine.plan import plan_of
from adapt.engine.readers import Readers
from adapt.engine.schedule import Schedule, at
from adapt.engine.shares import Shares, shares_of
from adapt.engine.signals import Signals
from adapt.engine.step import KeptPasses, Step
from adapt.engine.tasks import TaskBackward
from adapt.engine.term import Phase, Term, check_terms
from adapt.engine.update import EncoderScale, OptimizerFactory, Update, averaged, described, shown, updates_of
from adapt.engine.watching import unlabelled
from adapt.heads import Score
from adapt.protocols import MapStyle, expect_head
from adapt.randomness import keyed_seed, untouched_randomness
from adapt.streams import Batch, Stream


class Trainer:
    """Trains an encoder and the modules of its terms on several streams at once.

    Args:
        encoder: a module from inputs to features; or several by name, ``{"image": a, "text": b}``: each stream then
            names the encoder of its rows, ``Stream(..., encoder="image")``.
        terms: the objective is the weighted sum of the terms; short for one phase. A method may give a list.
        streams: named :class:`Stream`; every step takes a batch of each stream.
        phases: instead of `terms`, for methods that alternate: run in order on every batch, every phase with a separate
            optimizer.
        optimizer: from parameter groups to an optimizer; AdamW at 1e-3, torch's default. All parameters are in a
            single group; where `encoder_scale` is not 1, in two groups named ``"encoder"`` and ``"heads"``.
        encoder_scale: learning rate of the encoder relative to the learning rate of the heads: a number, or for each
            layer of the encoder a number or a function of the progress; each layer then is a group named
            ``"encoder.<layer>"``. Several encoders take a number for all, or one of these forms for each by name.
        schedule: factor on all learning rates as a function of the progress; constant.
        precision: ``"float32"``, or ``"bf16"`` for autocast around encoder and heads. Losses are at least float32.
        compile: ``encoder.compile(...)``: True, or a dict of the arguments.
        accumulate: micro-batches per step. A mean over labels, tokens or other counted things divides by their number
            in all micro-batches; other terms count each micro-batch alike. A loss over a batch sees one micro-batch.
        clip: largest gradient norm.
        ema: decay of an exponential moving average of all weights and buffers; `evaluate` then uses the average.
        balance: weighs several tasks at the encoder, say ``multitask.imtl_g()``: see
            :class:`adapt.engine.tasks.TaskBackward`.
        passes: ``"joint"``, a single encoder pass over all streams named by the terms, or ``"separate"``, a pass per
            stream. BatchNorm sees the joint batch, or a single stream.
        batch_norm: on several ranks, ``"global"`` normalises by the rows of all ranks, as a single rank does;
            ``"rank"`` by the rows of each rank, and the running statistics are averaged before evaluation and saving.
        watch: named (head, dataset) or (head, dataset, stream), scored along the way, for the reader and for callbacks.
            For `stream` see `evaluate`. Of a set without labels the log shows the outputs: shares of the predicted
            classes and entropy, or mean and quantiles.
        watch_every: steps between two scores.
        callbacks: functions called with logged scalars and scores, see :mod:`adapt.engine.callbacks`.
        log: folder for TensorBoard, history and checkpoints; None writes nothing.
        exist: where `log` is not empty when training begins: ``"resume"`` goes on with the run there, if configuration
            and plan are the same (without a whole checkpoint the run starts again; another run is an error);
            ``"new"`` takes the next free number, ``runs/first-2``; ``"error"`` refuses.
        log_every: steps between logged scalars; the trainer reads the device, and waits for the device, only then.
        save_every: steps between checkpoints.
        keep: number of checkpoints kept on disk.
        seed: of order, augmentation, dropout and ``step.generator``. The caller draws the initial weights.
        device: default: the GPU of this rank, else the CPU.
        progress: show a bar on rank 0.

    Raises:
        ValueError, KeyError, TypeError: blocks or options that do not fit together, before the first step.
    """

    def __init__(
        self,
        encoder: nn.Module | Mapping[str, nn.Module],
        terms: Term | Sequence[Term | Sequence[Term]] | None = None,
        streams: Mapping[str, Stream] | None = None,
        *,
        phases: Phase | Sequence[Phase] | None = None,
        optimizer: OptimizerFactory = partial(torch.optim.AdamW, lr=1e-3, fused=True),
        encoder_scale: EncoderScale = 1.0,
        schedule: float | Schedule = 1.0,
        precision: str = "float32",
        compile: bool | dict = False,
        accumulate: int = 1,
        clip: float | None = None,
        ema: float | None = None,
        balance: Callable | None = None,
        passes: str = "joint",
        batch_norm: str = "global",
        watch: Mapping[str, tuple[nn.Module, MapStyle] | tuple[nn.Module, MapStyle, str]] | None = None,
        watch_every: int = 250,
        callbacks: Sequence[Callback] = (),
        log: str | Path | None = None,
        exist: str = "resume",
        log_every: int = 50,
        save_every: int = 500,
        keep: int = 2,
        seed: int = 0,
        device: str | torch.device | None = None,
        progress: bool = True,
    ):
        door.check_choice("precision", precision, ("float32", "bf16"))
        door.check_choice("passes", passes, ("joint", "separate"))
        door.check_choice("exist", exist, EXIST)
        door.check_choice("batch_norm", batch_norm, ("global", "rank"))
        door.check_factories(optimizer, schedule, encoder_scale)
        accumulate, clip, ema, seed, keep, log_every, watch_every, save_every = door.checked_numbers(
            accumulate, clip, ema, seed, keep, log_every=log_every, watch_every=watch_every, save_every=save_every
        )
        self.phases = door.phases_of(terms, phases)
        self.streams, self.watch = door.by_name(streams), dict(watch or {})
        door.check_streams(self.streams)
        self.readers = Readers(encoder, self.streams, self.phases)
        door.check_watched(self.watch, self.readers)
        self.unlabelled = unlabelled(self.watch, self.streams)
        self.terms = check_terms(self.phases, self.streams)
        self.device = runtime.start(device)
        self.rank, self.world = runtime.rank(), runtime.world_size()
        door.check_passes(self.readers, self.streams, passes, batch_norm)

        self.encoder = self.readers.module
        self.tasks = TaskBackward(balance, self.encoder, self.phases)
        modules = nn.ModuleDict({t.name: nn.ModuleList(t.modules) for t in self.terms})
        self.network = nn.ModuleDict({"encoder": self.encoder, "terms": modules, "tasks": self.tasks}).to(self.device)
        if batch_norm == "global" and self.world > 1:
            synchronize_batch_norm(self.network)
        runtime.broadcast(self.network)
        self.readers.compile(compile)
        for name, (head, *_) in self.watch.items():
            self._path(head, f"`watch[{name!r}]`")
        self._owned, self.ema = set(self.network.modules()), averaged(self.network, ema)
        self.updates = updates_of(self.phases, self.network, optimizer, encoder_scale, accumulate)
        self.learning = Learning(self.updates, self.network, self.readers.every)
        self.tasks.mark(self.updates)
        self.schedule, self.accumulate, self.clip, self.passes, self.seed = schedule, accumulate, clip, passes, seed
        self.autocast = torch.autocast(self.device.type, dtype=torch.bfloat16) if precision == "bf16" else None
        self.folder, self.exist = None if log is None else Path(log), exist
        self.log_every, self.watch_every, self.save_every, self.keep = log_every, watch_every, save_every, keep
        self._equal = dict.fromkeys(self.terms, 1 / accumulate)
        self.progress, self.step, self.planned = progress, 0, 0
        self.looping = self.claimed = self.resumed = False
        self.signals = Signals()
        self.torn, self.finished = False, True  # half a step was taken; nothing is left to score and to save
        self.stopped: str | None = None  # why the run ended before its plan
        self.told_at: int | None = None  # the last step with scores for the callbacks
        self.record, self.callbacks = History(), list(callbacks)
        calling.check(self.callbacks, self)
        self.seen: dict[str, Objective] | None = None
        follows = callable(schedule) or any(callable(scale) for u in self.updates for scale in u.scales)
        self.asked_for: set[str] = {"progress"} if follows else set()  # terms add what they read
        self.finite = FiniteCheck(self.device, partial(inputs_of_step, self))
        self.configured: dict[str, Any] | None = None  # as of the start of a fit
        self.settings = {
            "encoder_scale": shown(encoder_scale), "precision": precision, "accumulate": accumulate, "clip": clip,
            "ema": ema, "passes": passes, "seed": seed, "balance": self.tasks.name,
            "schedule": describe(schedule), "callbacks": calling.settings_of(self.callbacks),
            **described(self.terms, self.streams, self.updates),
        }  # fmt: skip

    # ---- training ----

    def fit(self, steps: int | None = None, *, epochs: int | None = None, planned: int | None = None) -> "Trainer":
        """Train until `steps` steps, or `epochs` epochs, of the run are done, counted from the start of the run.

        An epoch of the run is an epoch of the stream with the most batches.

        Schedules follow the progress, the finished share of `planned`: the length of the whole run, in steps or epochs
        as the other number; ``None`` means that the run ends with this call. ``fit(10, planned=100)`` and then
        ``fit(100)`` is bit for bit one ``fit(100)``. Another plan than before, and a call with nothing to train, give a
        warning.

        Global random states are the same afterwards as before. With a `log` folder, checkpoints are written on the way
        and at the end. The first SIGINT (Ctrl-C) or SIGTERM ends the run after the step, with a checkpoint; a second
        signal ends the run at once. Another call of `fit` then goes on.

        Raises:
            ValueError: both `steps` and `epochs`, or neither; numbers below 1; a plan that ends before the call.
            FileExistsError, CheckpointError: the `log` folder is not empty, and `exist` does not allow to go on there.
            FloatingPointError: a term, or a weight before saving, is not finite. The CPU notices before the
                update, a GPU at the next reading of scalars. Files on disk are older than the error.
            RuntimeError: a loop of `steps` is open; or an error inside of a step may have left half a step behind.
            KeyboardInterrupt, SystemExit: after SIGINT, and after SIGTERM (143).
        """
        plan = plan_of(steps, epochs, planned, self.streams, self.accumulate)
        with untouched_randomness(), self.signals:
            for _ in run(self, plan):
                pass
        if self.progress and self.rank == 0 and (verdict := self.tasks.conflicts.verdict()):
            print(verdict)
        return self

    def steps(
        self, steps: int | None = None, *, epochs: int | None = None, planned: int | None = None
    ) -> Iterator[TakenStep]:
        """Yield each step after the trainer has taken the step: the loop under :meth:`fit`, with the same arguments.

        ``for step in trainer.steps(1_000)`` gives ``step.number``, ``step.progress`` and, on demand, ``step.scalars``.
        Leaving the loop early leaves a trainer that can go on, evaluate or save; the end of the loop scores and saves
        as the end of `fit` does. The body of the loop sees the global random states of the caller, and training does
        not depend on what the body draws.

        Raises:
            The errors of :meth:`fit`.
        """
        plan = plan_of(steps, epochs, planned, self.streams, self.accumulate)
        return with_users_randomness(run(self, plan, shown=True), self.signals)

    def _step(self, batches: Mapping[str, Iterator[Batch]], logging: bool) -> dict[str, Tensor | float]:
        again = len(self.updates) > 1 or self.updates[0].phase.repeat > 1
        with self.signals.at_once():
            micro = MicroBatches(batches, self.accumulate, self._to_device, again=again)
        self.torn = True
        scalars: dict[str, Tensor | float] = {}
        kept: list[KeptPasses] = [{} for _ in range(self.accumulate)]
        shares: list[Shares] = [self._equal]
        if self.accumulate > 1:
            shares = [{**self._equal, **found} for found in shares_of(self.terms, micro, self.device)]
        for number, update in enumerate(self.updates):
            for repeat in range(update.phase.repeat):
                runtime.seed_dropout(keyed_seed(self.seed, self.step, number, repeat, self.rank), self.device)
                scalars |= self._update(update, micro, kept, shares, logging)
                if update.encoder_learns:
                    for passes in kept:
                        passes.clear()
        if self.ema is not None:
            self.ema.update_parameters(self.network)
        return scalars

    def _update(
        self, update: Update, micro: MicroBatches, kept: list[KeptPasses], shares: list[Shares], logging: bool
    ) -> dict[str, Tensor | float]:
        scalars: dict[str, Tensor | float] = {}
        losses: list[Mapping[Term, Tensor]] = []
        objectives: list[Tensor] = []
        phase, progress = update.phase, self.step / self.planned
        update.optimizer.zero_grad()
        for batches, passes, share in zip(micro, kept, shares, strict=True):
            step = Step(
                batches, self.readers.of, number=self.step, progress=progress, seed=self.seed, streams=phase.streams,
                layers=phase.layers, passes=self.passes, encoder_learns=update.encoder_learns, kept=passes,
                keep_graph=update.keep_graph, logging=logging, known=self._owned, autocast=self.autocast,
                announced=self.readers.announced, asked_for=self.asked_for,
            )  # fmt: skip
            terms, total, found = self._backward(update, step, share)
            losses.append(terms)
            objectives.append(total)
            scalars |= found
        total = objectives[0] if len(objectives) == 1 else torch.stack(objectives).sum()
        self.finite.check(self.step, runtime.average_gradients(update.parameters, total), losses)
        self.learning.look(update, losses)
        if self.clip is not None:
            scalars["gradient/norm"] = nn.utils.clip_grad_norm_(update.parameters, self.clip).detach()
        factor = at(self.schedule, progress)
        for group, scale in zip(update.optimizer.param_groups, update.scales, strict=True):
            group["lr"] = plain(group["initial_lr"] * factor * at(scale, progress))
            scalars[f"learning_rate/{group.get('name', 'all')}"] = group["lr"]
        update.optimizer.step()
        return scalars

    def _backward(
        self, update: Update, step: Step, share: Shares
    ) -> tuple[Mapping[Term, Tensor], Tensor, dict[str, Tensor | float]]:
        """Return the terms on a micro-batch, the objective, and scalars for the log; gradients go into ``.grad``."""
        prefix = "" if len(self.phases) == 1 else f"{update.phase.name}/"
        if update.weighs:
            terms, apart = self.tasks.evaluate(step, update, share)
            scalars = monitor(terms, [*terms.features, *apart.leaves], prefix=prefix) if step.logging else {}
            total, found = self.tasks.backward(terms, apart, update, logging=step.logging)
            scalars |= found
        else:
            terms = evaluate(update.phase, step, share)
            scalars = monitor(terms, terms.features, prefix=prefix) if step.logging else {}
            scalars |= self.tasks.watch(terms, update) if step.logging else {}
            total = terms.backward(update.inputs)
        if self.tasks.exact is not None and update.encoder_learns:
            self.tasks.exact.clear()  # of this pass, and of passes repeated by activation checkpoints
        if self.seen is not None:
            self.seen[prefix] = terms.detached()
        return terms.losses, total, scalars | (step.reports if step.logging else {})

    def _to_device(self, batch: Batch) -> Batch:
        return batch if self.device.type == "cpu" else batch.map(lambda x: x.to(self.device, non_blocking=True))

    def stop(self, reason: str = "as asked") -> None:
        """End the run after this step: `fit` and the loop over `steps` score, save and return.

        The checkpoint knows the reason: a resumed run stays stopped. To train on set ``trainer.stopped = None``.
        """
        self.stopped = reason

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row for each step with logged values, for ``pandas.DataFrame(trainer.history)``; complete on rank 0.

        Without `log`, progress bar and callbacks, scalars are not computed, and rows hold the watched scores alone.
        """
        return self.record.rows

    # ---- measuring ----

    def predict(
        self, head: nn.Module, dataset: MapStyle, stream: str | None = None, *, features: bool = True,
        batch_size: int = 256, workers: int = 0,
    ) -> Predictions:  # fmt: skip
        """Return outputs, features and labels of every row, with averaged weights where the trainer keeps an average.

        An encoder that treats streams differently (``encoders.task_lora``) takes the rows for rows of `stream`. Items
        are split and collated as in `stream`; without a name, as in all streams, where all streams agree.
        ``features=False`` leaves the features out. `workers` processes read the dataset.
        """
        return predict(dataset=dataset, features=features, **self._of(head, stream, batch_size, workers))

    def evaluate(
        self, head: nn.Module, dataset: MapStyle, stream: str | None = None, *, unit: Unit | None = None,
        batch_size: int = 256, workers: int = 0,
    ) -> Score:  # fmt: skip
        """Return the score of the head on a labelled dataset, with its 95 % interval; other arguments as in `predict`.

        `unit`, one entry per row, such as the person of each window, makes the interval an interval over units. None
        takes ``dataset.groups`` where the data set has groups; ``range(len(dataset))`` makes each row a unit.
        """
        expect_head(head)
        check_labelled("`dataset`", dataset, form_of(self.streams, stream), unit)
        found = measure(dataset=dataset, **self._of(head, stream, batch_size, workers)).measures
        return score(head, found, unit_of(dataset, unit))

    def model(self, head: nn.Module, stream: str | None = None, *, preparation: Any = None) -> Model:
        """Return encoder and head as a model, with averaged weights where the trainer keeps an average.

        The model is a copy: further training does not change it. `stream` as in `predict`. `preparation`: a data set
        with the preparation of raw items, where the streams have none or several.
        """
        return model_of_run(self._of(head, stream), self.streams, card_of_run(self), preparation)

    def _path(self, head: nn.Module, what: str) -> str:
        """Return the path of `head` inside the network."""
        for path, module in self.network.named_modules():
            if module is head:
                return path
        raise ValueError(
            f"{what} is a {type(head).__name__} that no term of this trainer owns: the trainer does not train the head."
        )

    def _of(self, head: nn.Module, stream: str | None, batch_size: int = 256, workers: int = 0) -> dict[str, Any]:
        """Return encoder and head with the weights of the evaluation, and how rows are read and computed."""
        path, network = self._path(head, "`head`"), self.network if self.ema is None else self.ema.module
        runtime.average_buffers(self.network)
        return {
            "encoder": network.get_submodule(self.readers.path(stream)), "head": network.get_submodule(path),
            "stream": stream, "batch_size": batch_size, "workers": workers, "device": self.device,
            "autocast": self.autocast, **vars(form_of(self.streams, stream)),
        }  # fmt: skip

    # ---- state ----

    @property
    def checkpoints(self) -> Path:
        if self.folder is None:
            raise ValueError("this trainer has no folder: give it `log=...`, or name a path.")
        return self.folder / "checkpoints"

    def save(self, path: str | Path | None = None) -> Path:
        """Write a checkpoint, to `path` or into the `log` folder; on rank 0, complete or not at all.

        Raises:
            FloatingPointError: a weight is not finite. Nothing is written.
        """
        return state.save(self, path)

    def resume(self, path: str | Path | None = None) -> "Trainer":
        """Continue from the checkpoint at `path`, or from the newest whole checkpoint of the `log` folder.

        On the same number of ranks, training continues bit for bit as if the run had not stopped.

        Raises:
            FileNotFoundError: no checkpoint.
            CheckpointError: torn, foreign, or from another configuration. The trainer is then untouched.
        """
        state.load(self, *state.found(self, path))
        return self
