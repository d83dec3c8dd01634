"""One engine for any mixture of terms and phases."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from adapt.encoders.normalization import synchronize_batch_norm
from adapt.engine import checkpoint, runtime
from adapt.engine.evaluate import Predictions, check_labelled, predict, score
from adapt.engine.finite import FiniteCheck
from adapt.engine.log import Log
from adapt.engine.monitor import monitor
from adapt.engine.schedule import Schedule, at
from adapt.engine.step import Passes, Step
from adapt.engine.tasks.backward import Balancing
from adapt.engine.term import Phase, Term, check_terms, flatten
from adapt.engine.update import EncoderScale, OptimizerFactory, Update, describe, updates_of
from adapt.heads import Score
from adapt.randomness import keyed_seed, untouched_randomness
from adapt.streams import Batch, Stream


class Trainer:
    """Trains an encoder and the modules of its terms on several streams at once.

    Args:
        encoder: any module from inputs to ``(n, d)`` features.
        terms: the objective is their weighted sum; shorthand for one phase. A method may give a list.
        streams: named :class:`Stream`; every step takes a batch of each.
        phases: instead of `terms`, for methods that alternate: run in order on every batch, each with its optimizer.
        optimizer: from parameter groups to an optimizer; AdamW at 1e-3, torch's default. There is one group, or two named
            ``"encoder"`` and ``"heads"`` where `encoder_scale` is not 1.
        encoder_scale: learning rate of the encoder relative to the heads': a number, or for each of its layers a number
            or a function of the progress; each layer then is a group named ``"encoder.<layer>"``.
        schedule: factor on all learning rates as a function of the progress; constant.
        precision: ``"float32"``, or ``"bf16"`` for autocast around encoder and heads. Losses are at least float32.
        compile: ``encoder.compile(...)``: True, or a dict of its arguments.
        accumulate: batches a step whose gradients are averaged. A loss over a batch sees one of them at a time.
        clip: largest gradient norm.
        ema: decay of an exponential moving average of all weights and buffers; `evaluate` then uses it.
        balance: weighs several tasks at the encoder they share, say ``multitask.imtl_g()``: see :class:`Balancing`.
        passes: ``"joint"``, one encoder pass over all streams that the terms ask for, or ``"separate"``, one a stream.
            BatchNorm sees the joint batch, or one stream at a time.
        batch_norm: on several ranks, ``"global"`` normalises by all ranks' rows as one rank would; ``"rank"`` by each
            rank's own, the running statistics being averaged before evaluation and saving.
        watch: named (head, dataset) or (head, dataset, stream) that are scored along the way, for the eye alone: nothing is
            chosen on them. The stream is that of `evaluate`.
        watch_every: steps between these.
        log: folder for TensorBoard and checkpoints; None writes nothing.
        log_every: steps between logged scalars; the device is read, and waited for, only then.
        save_every: steps between checkpoints; `keep` of them stay.
        seed: of order, augmentation, dropout and ``step.generator``. Initial weights are the caller's.
        device: default: this rank's GPU, else the CPU.
        progress: show a bar on rank 0.

    Raises:
        ValueError, KeyError: anything that does not fit together, before the first step.
    """

    def __init__(
        self,
        encoder: nn.Module,
        terms: Sequence[Term | Sequence[Term]] | None = None,
        streams: Mapping[str, Stream] | None = None,
        *,
        phases: Sequence[Phase] | None = None,
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
        watch: Mapping[str, tuple[nn.Module, Dataset] | tuple[nn.Module, Dataset, str]] | None = None,
        watch_every: int = 250,
        log: str | Path | None = None,
        log_every: int = 50,
        save_every: int = 500,
        keep: int = 2,
        seed: int = 0,
        device: str | torch.device | None = None,
        progress: bool = True,
    ):
        for option, value, known in (
            ("precision", precision, ("float32", "bf16")),
            ("passes", passes, ("joint", "separate")),
            ("batch_norm", batch_norm, ("global", "rank")),
        ):
            if value not in known:
                raise ValueError(f"`{option}` must be {' or '.join(repr(k) for k in known)}, got {value!r}.")
        if (terms is None) == (phases is None):
            raise ValueError("give either `terms` or `phases`.")
        self.device = runtime.start(device)
        self.rank, self.world = runtime.rank(), runtime.world_size()
        self.phases = [Phase(flatten(terms))] if terms is not None else list(phases or ())
        self.streams, self.watch = dict(streams or {}), dict(watch or {})
        self.terms = check_terms(self.phases, self.streams)

        self.balancing = Balancing(balance, encoder, self.phases)
        modules = nn.ModuleDict({t.name: nn.ModuleList(t.modules) for t in self.terms})
        self.model = nn.ModuleDict({"encoder": encoder, "terms": modules, "balancing": self.balancing}).to(self.device)
        if batch_norm == "global" and self.world > 1:
            synchronize_batch_norm(self.model)
        runtime.broadcast(self.model)
        if compile:
            encoder.compile(**(compile if isinstance(compile, dict) else {}))
        self.encoder, self._owned = encoder, {id(m) for m in self.model.modules()}
        for name, (head, data, *_) in self.watch.items():
            self._path(head, f"`watch[{name!r}]`")
            check_labelled(f"`watch[{name!r}]`", data)
        self.ema = None
        if ema is not None:
            average = torch.optim.swa_utils.get_ema_multi_avg_fn(ema)
            self.ema = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)

        self.updates = updates_of(self.phases, self.model, optimizer, encoder_scale, accumulate)
        self.schedule, self.accumulate, self.clip, self.passes, self.seed = schedule, accumulate, clip, passes, seed
        self.autocast = torch.autocast(self.device.type, dtype=torch.bfloat16) if precision == "bf16" else None
        self.folder = None if log is None else Path(log)
        self.log_every, self.watch_every, self.save_every, self.keep = log_every, watch_every, save_every, keep
        self.progress, self.step, self.steps = progress, 0, 0
        self._resumed, self.finite = False, FiniteCheck(self.device, self._inputs_of)
        self.settings = {
            "terms": ", ".join(f"{t.name} ({t!r})" for t in self.terms),
            "streams": ", ".join(f"{n} ({s!r})" for n, s in self.streams.items()),
            "phases": ", ".join(f"{u.phase.name}: {u.phase.repeat} x {len(u.parameters)} tensors" for u in self.updates),
            "optimizers": ", ".join(f"{type(u.optimizer).__name__} {u.optimizer.defaults}" for u in self.updates),
            "encoder_scale": describe(encoder_scale), "precision": precision, "accumulate": accumulate, "clip": clip,
            "ema": ema, "passes": passes, "seed": seed, "balance": self.balancing.name,
        }  # fmt: skip

    # ---- training ----

    def fit(self, steps: int) -> "Trainer":
        """Train until `steps` steps of the run are done; progress is the share of them that lies behind.

        Global random states are left as they were found. With a `log` folder, checkpoints are written on the way and
        at the end.

        Raises:
            FileExistsError: the `log` folder holds a run and this is not its continuation.
            FloatingPointError: a term, or a weight before saving, that is not finite. The CPU notices before the
                update, a GPU when it is next read; what is on disk is from before.
        """
        if self.steps and self.step < self.steps != steps:
            warnings.warn(f"the run was planned for {self.steps} steps; schedules now follow {steps}.", stacklevel=2)
        self.steps = steps
        self._claim_folder()
        log = Log(self.folder, self.step) if self.folder and self.rank == 0 else None
        with untouched_randomness():
            try:
                self._loop(log)
                if self.folder:
                    self._watch(log, final=True)
                    if checkpoint.name(self.step) not in [p.name for p in checkpoint.newest_first(self._checkpoints)]:
                        self.save()
            finally:
                if log:
                    log.close()
        if self.progress and self.rank == 0 and (verdict := self.balancing.conflicts.verdict()):
            print(verdict)
        return self

    def _loop(self, log: Log | None) -> None:
        from tqdm import tqdm

        start = self.step * self.accumulate
        batches = {n: s.batches(n, self.seed, start, rank=self.rank, world=self.world) for n, s in self.streams.items()}
        rows = sum(s.batch_size for s in self.streams.values()) * self.accumulate
        self.model.train()
        since, done, quiet = time.perf_counter(), 0, not (self.progress and self.rank == 0)
        with tqdm(total=self.steps, initial=self.step, disable=quiet, unit="step") as bar:
            while self.step < self.steps:
                if self.step % self.watch_every == 0:
                    self._watch(log)
                logging = self.step % self.log_every == 0 and (self.progress or self.folder is not None)
                scalars = self._step(batches, logging)
                if logging:
                    values = self._read(scalars)
                    if done:
                        values["speed/samples_per_second"] = rows * done / (time.perf_counter() - since)
                    since, done = time.perf_counter(), 0
                    if log:
                        log.scalars(values, self.step)
                    bar.set_postfix(loss=f"{values['loss/total']:.3g}" if "loss/total" in values else "")
                self.step, done = self.step + 1, done + 1
                bar.update()
                if self.folder and self.step % self.save_every == 0:
                    if log:
                        log.flush()  # what is logged before a checkpoint is on disk with it
                    self.save()

    def _step(self, batches: Mapping[str, Iterator[Batch]], logging: bool) -> dict[str, Tensor | float]:
        micro = [{n: self._to_device(next(b)) for n, b in batches.items()} for _ in range(self.accumulate)]
        progress = self.step / self.steps
        factor = at(self.schedule, progress)
        scalars: dict[str, Tensor | float] = {}
        kept: Passes = {}
        for number, update in enumerate(self.updates):
            for repeat in range(update.phase.repeat):
                runtime.seed_dropout(keyed_seed(self.seed, self.step, number, repeat, self.rank), self.device)
                scalars |= self._update(update, micro, kept, progress, factor, logging)
                if update.encoder_learns:
                    kept.clear()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        return scalars

    def _update(
        self, update: Update, micro: list[dict[str, Batch]], kept: Passes, progress: float, factor: float, logging: bool
    ) -> dict[str, Tensor | float]:
        phase = update.phase
        scalars: dict[str, Tensor | float] = {}
        seen: list[dict[Term, Tensor]] = []
        objective: list[Tensor] = []
        update.optimizer.zero_grad()
        for batches in micro:
            step = Step(
                batches, self.encoder, number=self.step, progress=progress, seed=self.seed, streams=phase.streams,
                layers=phase.layers, passes=self.passes, encoder_learns=update.encoder_learns, kept=kept,
                keep_graph=update.keep_graph, logging=logging, known=self._knows, autocast=self.autocast,
            )  # fmt: skip
            values = self.balancing.values(step, update)
            weights = {term: term.weight_at(progress) for term in phase.terms}
            seen.append(values)
            if logging:
                scalars = monitor(step, values, weights, prefix="" if len(self.phases) == 1 else f"{phase.name}/")
            scalars |= self.balancing.backward(step, update, values, weights, self.accumulate)
            objective.append(self.balancing.objective)
        total = objective[0] if len(objective) == 1 else torch.stack(objective).sum()
        self.finite.check(self.step, runtime.average_gradients(update.parameters, total), seen)
        if self.clip is not None:
            scalars["gradient/norm"] = nn.utils.clip_grad_norm_(update.parameters, self.clip).detach()
        for group, scale in zip(update.optimizer.param_groups, update.scales, strict=True):
            group["lr"] = group["initial_lr"] * factor * at(scale, progress)
            scalars[f"learning_rate/{group.get('name', 'all')}"] = group["lr"]
        update.optimizer.step()
        return scalars

    def _to_device(self, batch: Batch) -> Batch:
        return batch if self.device.type == "cpu" else batch.map(lambda x: x.to(self.device, non_blocking=True))

    def _inputs_of(self, number: int) -> dict[str, list[Any]]:
        """The inputs of a step, read again: order is keyed."""
        inputs = {}
        for name, stream in self.streams.items():
            again = stream.batches(name, self.seed, number * self.accumulate, rank=self.rank, world=self.world)
            inputs[name] = [next(again).inputs for _ in range(self.accumulate)]
        return inputs

    # ---- measuring ----

    def _read(self, scalars: Mapping[str, Tensor | float]) -> dict[str, float]:
        """Scalars as numbers, averaged over the ranks: one transfer, one collective."""
        self.finite.read()
        tensors = {k: v for k, v in scalars.items() if isinstance(v, Tensor)}
        values: dict[str, float] = {k: v for k, v in scalars.items() if not isinstance(v, Tensor)}
        if tensors:
            flat = runtime.average(torch.stack([v.detach().float().reshape(()) for v in tensors.values()]))
            values |= dict(zip(tensors, flat.tolist(), strict=True))
        return values

    def predict(
        self, head: nn.Module, dataset: Dataset, stream: str | None = None, *, batch_size: int = 256
    ) -> Predictions:
        """Outputs, features and labels of every row, with the averaged weights where the trainer keeps them.

        An encoder that treats streams differently (``encoders.task_lora``) takes them for rows of `stream`.
        """
        path = self._path(head, "`head`")
        runtime.average_buffers(self.model)
        model = self.model if self.ema is None else self.ema.module
        return predict(
            model.get_submodule("encoder"), model.get_submodule(path), dataset,
            stream=stream, batch_size=batch_size, device=self.device, autocast=self.autocast,
        )  # fmt: skip

    def evaluate(self, head: nn.Module, dataset: Dataset, stream: str | None = None, *, batch_size: int = 256) -> Score:
        """The head's own score on a labelled dataset, with its 95 % interval. `stream` as in :meth:`predict`."""
        check_labelled("`dataset`", dataset)
        return score(head, self.predict(head, dataset, stream, batch_size=batch_size))

    def _watch(self, log: Log | None, *, final: bool = False) -> None:
        if self.folder is None:
            return
        found = {name: (self.predict(*of), of[0]) for name, of in self.watch.items()}
        if not log:  # another rank than 0
            return
        scores = {n: score(head, p) for n, (p, head) in found.items()}
        log.scalars({f"{s.metric.replace(' ', '_')}/{n}": s.value for n, s in scores.items()}, self.step)
        if self.step == 0:
            log.text("settings", self.settings, 0)
        log.tasks(self.balancing.conflicts, self.step)
        if final:
            log.final(found, self.step)
            log.hparams(self.settings, {f"final/{n}": s.value for n, s in scores.items()})

    # ---- state ----

    @property
    def _checkpoints(self) -> Path:
        if self.folder is None:
            raise ValueError("this trainer has no folder: give it `log=...`, or name a path.")
        return self.folder / "checkpoints"

    def save(self, path: str | Path | None = None) -> Path:
        """Write a checkpoint, to `path` or into the `log` folder; on rank 0, complete or not at all.

        Raises:
            FloatingPointError: a weight is not finite. Nothing is written.
        """
        self.finite.read()
        runtime.average_buffers(self.model)
        weights = checkpoint.tensors(self.model)
        if not torch.stack([w.isfinite().all() for w in weights.values()]).all():
            bad = next(name for name, w in weights.items() if not w.isfinite().all())
            raise FloatingPointError(f"step {self.step}: weight `{bad}` is not finite; nothing was saved.")
        target = self._checkpoints / checkpoint.name(self.step) if path is None else Path(path)
        if self.rank == 0:
            state = {
                "step": self.step, "steps": self.steps, "settings": self.settings, "torch": str(torch.__version__),
                "optimizers": [u.optimizer.state_dict() for u in self.updates],
                "ema": None if self.ema is None else self.ema.state_dict(),
            }  # fmt: skip
            checkpoint.write(target, weights, state)
            if path is None:
                checkpoint.keep_newest(self._checkpoints, self.keep)
        runtime.wait()
        return target

    def resume(self, path: str | Path | None = None) -> "Trainer":
        """Continue from a checkpoint: the one at `path`, or the newest whole one of the `log` folder.

        On the same number of ranks, training goes on bit for bit as if it had not stopped.

        Raises:
            FileNotFoundError: no checkpoint.
            CheckpointError: torn, foreign, or from another configuration. The trainer is then untouched.
        """
        if path is not None:
            found: Any = (Path(path), *checkpoint.read(Path(path)))
        else:
            found = next(checkpoint.usable(self._checkpoints), None)
            if found is None:
                raise FileNotFoundError(f"expected a checkpoint in `{self._checkpoints}`, and there is none to use.")
        where, weights, state = found
        own = checkpoint.tensors(self.model)
        other = [k for k, v in self.settings.items() if state["settings"].get(k) != v]
        other += [n for n in {*own, *weights} if n not in own or n not in weights or own[n].shape != weights[n].shape]
        if other:
            changes = "; ".join(
                f"{k}: {state['settings'].get(k)} there, {self.settings.get(k)} here" for k in other[:3]
            )
            raise checkpoint.CheckpointError(
                f"`{where}` is from another configuration: {changes}. Make the trainer as it was, or load only the "
                "weights with encoders.load_weights."
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])
        for update, saved in zip(self.updates, state["optimizers"], strict=True):
            update.optimizer.load_state_dict(saved)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.step, self.steps, self._resumed = state["step"], state["steps"], where.parent == self._own_folder()
        return self

    def _own_folder(self) -> Path | None:
        return None if self.folder is None else self._checkpoints

    def _claim_folder(self) -> None:
        """The folder is ours or new; looked at by every rank before any of them writes."""
        if self.folder is None or self._resumed:
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"`{self.folder}` already holds a run: continue it with `trainer.resume()`, or choose another folder "
                "(`log=...`). Nothing in it was changed."
            )
        runtime.wait()
        self._resumed = True

    # ---- what belongs to the run ----

    def _knows(self, module: nn.Module) -> bool:
        return id(module) in self._owned

    def _path(self, head: nn.Module, what: str) -> str:
        """The path of `head` inside the model."""
        for path, module in self.model.named_modules():
            if module is head:
                return path
        raise ValueError(
            f"{what} is a {type(head).__name__} that no term of this trainer owns, so it is not trained by it."
        )
