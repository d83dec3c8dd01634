"""What is left when training is done: an encoder, a head, the names of the classes, the preparation of the data."""

import json
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt import datasets
from adapt.engine import model_folder, runtime
from adapt.engine.answers import Predicting, Probable, are_numbers, named, names_of_head
from adapt.engine.card import readme, shown_score, versions, weights_of
from adapt.engine.door import check_choice
from adapt.engine.evaluate import UNNAMED, Unit, check_labelled, measure, predict, score, unit_of
from adapt.engine.export import Together, export_onnx, export_program
from adapt.engine.model_checkpoint import parts_of_checkpoint
from adapt.engine.model_data import BatchRows, of_streams, precision_of, preparation_of
from adapt.engine.model_folder import Parts, own_copy
from adapt.engine.programs import form_of_inputs
from adapt.engine.recipes import describe_or_lose, make
from adapt.engine.step import Step
from adapt.evaluating import evaluating
from adapt.heads import Score
from adapt.protocols import MapStyle, Source, expect_head
from adapt.streams.items import ItemForm
from adapt.streams.tree import concatenate, map_tensors
from losses.options import COUNT, FROM_0, check


class Model:
    """An encoder and a head, with everything that a prediction needs.

    ``trainer.model(head)``, :meth:`load`, :meth:`from_checkpoint`, ``inductive.transfer(...)`` and
    ``inductive.probe(...).model(encoder)`` make one.

    Args:
        encoder: from inputs to features.
        head: from features to outputs; its names are the names of the predictions.
        device: where the model is computed.
        preparation: of raw items, such as paths of images: a data set that knows its preparation
            (``datasets.images``, ``datasets.table``, ``datasets.audio``, or a part of such a data set), or the
            preparation itself. ``None``: the model reads prepared inputs alone.
        label, input, collate: the form of the items of data sets, as in :class:`Stream`.
        precision: ``"float32"``, or ``"bf16"`` for autocast, as in :class:`Trainer`.
        stream: an encoder that treats streams differently takes all rows for rows of this stream.
        inputs: a small batch of inputs, for their form: :meth:`save` and :meth:`export` try the model on made-up inputs
            of this form. The batch itself is not kept.
        card: facts for the model card, as json.

    Attributes:
        names: of the classes or labels; None where the head has no names.
        inputs: the form of a row of the inputs as json, or None where it is not known.
        card: facts for the model card; :meth:`evaluate` adds its scores.

    Raises:
        TypeError: a head that lacks a method; a `preparation` that is none.
        ValueError: an unknown `precision`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        device: torch.device | str = "cpu",
        *,
        preparation: Any = None,
        label: str | None = None,
        input: str | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        precision: str = "float32",
        stream: str | None = None,
        inputs: Any = None,
        card: Mapping[str, Any] | None = None,
    ):
        expect_head(head)
        if precision not in ("float32", "bf16"):
            raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}.")
        self.encoder, self.head, self.device = encoder.to(device).eval(), head.to(device).eval(), torch.device(device)
        self.preparation = None if preparation is None else preparation_of(preparation)
        if preparation is not None and self.preparation is None:
            raise TypeError(
                f"`preparation` must be a data set that knows its preparation, got a {type(preparation).__name__}: "
                "give the result of `datasets.images`, `datasets.table` or `datasets.audio`."
            )
        self.form, self.precision, self.stream = ItemForm(label, collate, input), precision, stream
        self.inputs = form_of_inputs(inputs)
        self.card: dict[str, Any] = {"data": {}, "labels": {}, **(card or {})}
        self.names = names_of_head(head)

    def __repr__(self) -> str:
        names = "" if self.names is None else f", {len(self.names)} names: {', '.join(self.names[:5])}"
        return f"Model({type(self.encoder).__name__}, {type(self.head).__name__}{names})"

    # ---- answers ----

    def predict(self, x: Any, *, batch_size: int = 256, workers: int = 0) -> Any:
        """Return a prediction for each row, in the words of the user.

        Args:
            x: a batch ``(n, ...)``, a tensor or a numpy array, or a tree of tensors as the encoder reads; a data set,
                with or without labels; or raw items where the model knows their preparation: a path or a list of
                paths of files, a folder, a table, or one row of a table as a dict.
            batch_size: rows that are computed together.
            workers: processes that read a data set.

        Returns:
            For classes a numpy array of str, or of numbers where the classes have no names; ``(n, length)`` where each
            token has a class; for a class of each pixel numbers ``(n, h, w)``, in the order of `names`. For labels that
            do not exclude one another a list with the names of each row. For a regressor a numpy array of values. For
            other heads a list with one tree of numpy arrays per row.

        Raises:
            TypeError: raw items without a preparation.
            ValueError: a table that was prepared with other statistics; a batch without the axis of the rows.
        """
        return named(self.head, self._computed(Predicting(self.head), x, batch_size, workers))

    def probabilities(self, x: Any, *, batch_size: int = 256, workers: int = 0) -> numpy.ndarray:
        """Return ``(n, classes)``, the probability of each class or label, in the order of `names`.

        The arguments are the arguments of `predict`.

        Raises:
            TypeError: a head without classes and without labels.
        """
        return self._computed(Probable(self.head), x, batch_size, workers).numpy()

    def outputs(self, x: Any, *, batch_size: int = 256, workers: int = 0) -> Any:
        """Return the outputs of the head for each row, on the CPU: logits for a classifier.

        The arguments are the arguments of `predict`.
        """
        return self._computed(self.head, x, batch_size, workers)

    def evaluate(
        self, dataset: MapStyle, *, unit: Unit | None = None, batch_size: int = 256, workers: int = 0
    ) -> Score:
        """Return the head's own score on a labelled dataset, with the 95 % interval, as `Trainer.evaluate` does.

        The model card keeps the score.

        Raises:
            ValueError: rows without labels; a data set that numbers its classes in another order.
        """
        check_labelled("`dataset`", dataset, self.form, unit)
        self._check_names(dataset)
        self._check_prepared(dataset)
        found = measure(
            self.encoder, self.head, dataset,
            batch_size=batch_size, workers=workers, **self._how(), **vars(self.form),
        )  # fmt: skip
        reached = score(self.head, found.measures, unit_of(dataset, unit))
        self.card["scores"] = [*self.card.get("scores", ()), shown_score(reached, dataset, unit is not None)]
        return reached

    def _how(self) -> dict[str, Any]:
        bf16 = torch.autocast(self.device.type, dtype=torch.bfloat16) if self.precision == "bf16" else None
        return {"stream": self.stream, "device": self.device, "autocast": bf16}

    def _computed(self, head: nn.Module, x: Any, batch_size: int, workers: int) -> Any:
        check(COUNT, batch_size=batch_size)
        check(FROM_0, workers=workers)
        data = self._data(x)
        if isinstance(data, BatchRows):
            return self._of_batch(head, data, batch_size)
        return predict(
            self.encoder, head, data,
            features=False, batch_size=batch_size, workers=workers, **self._how(), **vars(self.form),
        ).outputs  # fmt: skip

    @torch.no_grad()
    def _of_batch(self, head: nn.Module, rows: "BatchRows", batch_size: int) -> Any:
        name, how = self.stream or UNNAMED, self._how()
        found = []
        with evaluating(self.encoder, head):
            for start in range(0, rows.count, batch_size):
                part = rows.part(start, min(start + batch_size, rows.count)).map(lambda t: t.to(self.device))
                step = Step({name: part}, self.encoder, autocast=how["autocast"])
                found.append(map_tensors(step.output(head, name), Tensor.cpu))
        return concatenate(found)

    def _data(self, x: Any) -> Any:
        """Return a batch or a data set."""
        files = isinstance(x, list | tuple) and bool(x) and all(isinstance(v, str | Path) for v in x)
        table = isinstance(x, Mapping) and not any(isinstance(v, Tensor | numpy.ndarray) for v in x.values())
        frame = type(x).__module__.split(".")[0] in ("pandas", "scipy")
        if isinstance(x, str | Path) or table or ((files or frame) and self.preparation is not None):
            if self.preparation is None:
                raise TypeError(
                    f"`x` is raw, a {type(x).__name__}, and this model knows no preparation: give prepared inputs, or "
                    "the training data, `Model.load(folder, preparation=train)`, `trainer.model(head, "
                    "preparation=train)`."
                )
            return self.preparation.prepared(x)
        if frame:
            return datasets.arrays(x)
        if isinstance(x, Tensor | numpy.ndarray | Mapping) or (isinstance(x, tuple) and not files):
            return BatchRows(x, self.inputs)
        if not isinstance(x, Sized):
            raise TypeError(f"`x` must be a batch, a data set or raw items, got a {type(x).__name__}.")
        self._check_prepared(x)
        return x

    def _check_prepared(self, dataset: Any) -> None:
        own, other = self.preparation, preparation_of(dataset)
        if isinstance(own, datasets.Preparation) and isinstance(other, datasets.Preparation):
            if (own.scales, own.categories) != (other.scales, other.categories):
                raise ValueError(
                    "the table was prepared with other statistics than the training table: prepare it with "
                    "`datasets.table(data, ..., statistics=model.preparation)`, or give the raw table to `predict`."
                )

    def _check_names(self, dataset: Any) -> None:
        there = getattr(dataset, "names", None)  # any data set: most have no names
        if are_numbers(self.names) or there is None or are_numbers(list(there)):
            return
        if list(there) != (self.names or [])[: len(there)]:
            raise ValueError(
                f"`dataset` numbers the classes {list(there)[:5]}, and the model {(self.names or [])[:5]}: make the "
                "data set with `names=model.names`."
            )

    # ---- folders ----

    def save(self, folder: str | Path, *, architecture: bool = True) -> Path:
        """Write the model into a new folder, and return the path. Another process loads the folder without any code.

        The folder holds ``weights.safetensors``, ``model.json``, a model card ``README.md``, and the hashes of the
        files; nothing is pickled. The architecture is a description: the function of this toolkit that made the
        encoder, or the layers of torch. A module of your own that no description tells becomes a program of
        ``torch.export`` for any number of rows, which computes and does not train. Before the folder appears, the
        description is made once more and must compute the same.

        On several ranks rank 0 writes.

        Args:
            folder: must not exist.
            architecture: ``False`` writes the weights alone, and :meth:`load` asks for encoder and head.

        Raises:
            FileExistsError: `folder` exists already.
            TypeError: an architecture that neither a description nor a program tells. Nothing is written.
        """
        folder, parts = Path(folder), Parts(self.encoder, self.head)
        if runtime.rank() == 0:
            if folder.exists():
                raise FileExistsError(f"`{folder}` exists already: choose a new name, or delete the old folder.")
            if architecture:
                plain, programs = model_folder.described(parts, self.inputs)
            else:
                kinds = {n: {"given": type(m).__name__} for n, m in zip(model_folder.PARTS, parts, strict=True)}
                plain, programs = kinds, {}
            plain |= self._facts()
            model_folder.write(folder, parts, plain, programs, readme(plain))
        runtime.wait()
        return folder

    def export(self, path: str | Path, *, format: str = "torch") -> Path:
        """Write encoder and head as one program from a batch of inputs to outputs, for any number of rows.

        The written file is compared with the model on made-up inputs: the outputs are equal to 1e-5, relative to the
        largest. Names and preparation are not part of the program; :meth:`save` keeps both.

        Args:
            path: of the file; an existing file is replaced. On several ranks rank 0 writes.
            format: ``"torch"``, a program for ``torch.export.load`` (usual ending ``.pt2``), or ``"onnx"``, a graph for
                any ONNX runtime (extra ``onnx``).

        Raises:
            ValueError: an unknown `format`; a model without known form of its inputs.
            TypeError: torch cannot trace the model, or the written program computes something else. Nothing is written.
            ModuleNotFoundError: ``"onnx"`` without its packages.
        """
        check_choice("format", format, ("torch", "onnx"))
        if self.inputs is None:
            raise ValueError(
                "the form of the inputs is not known, so no program can be traced: make the model with "
                "`adapt.Model(encoder, head, inputs=batch)`, or predict once on a batch of tensors and give `inputs`."
            )
        if runtime.rank() == 0:
            together = Together(self.encoder, self.head).cpu()
            (export_program if format == "torch" else export_onnx)(together, self.inputs, Path(path))
            together.to(self.device)
        runtime.wait()
        return Path(path)

    def _facts(self) -> dict[str, Any]:
        preparation = describe_or_lose(self.preparation)
        return {
            "encoder kind": type(self.encoder).__name__,
            "head kind": type(self.head).__name__,
            "names": self.names,
            "inputs": self.inputs,
            "preparation": preparation,
            "preparation words": _in_words(preparation, self.preparation),
            "label": self.form.label,
            "input": self.form.input,
            "collate": describe_or_lose(self.form.collate),
            "precision": self.precision,
            "stream": self.stream,
            "weights": weights_of(self.encoder),
            "card": self.card,
            "versions": versions(),
        }

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: torch.device | str = "cpu",
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        preparation: Any = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> "Model":
        """Return the model of a folder that :meth:`save` wrote.

        Args:
            folder: of the model.
            device: where the model is computed.
            encoder, head: in place of the saved architecture, with the saved weights: modules of the same tensors.
            preparation, collate: in place of saved ones, where they were functions of your own: a folder holds no code.

        Raises:
            FileNotFoundError: nothing at `folder`.
            Torn, Foreign: (both ``ValueError``, of ``adapt.store``) a file is missing or was changed; a folder of
                something else, or of another version.
            ValueError: an architecture that was not saved and is not given; weights that do not fit; a file that no
                `Model.save` wrote.
        """
        parts, plain = model_folder.read(Path(folder), device, {"encoder": encoder, "head": head})
        return cls._of_facts(parts, plain, device, preparation, collate)

    @classmethod
    def from_checkpoint(
        cls,
        folder: str | Path,
        head: str | nn.Module | None = None,
        *,
        encoder: nn.Module | None = None,
        stream: str | None = None,
        device: torch.device | str = "cpu",
        preparation: Any = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> "Model":
        """Return the model of a checkpoint, with averaged weights where the trainer kept an average.

        Args:
            folder: a checkpoint folder, or the `log` folder of a run: its newest whole checkpoint.
            head: the name of the term that owns the head, such as ``"supervised_source"``; or a module of the same
                tensors in place of the described head. ``None``: the run has one head, and the checkpoint describes it.
            encoder: a module of the same tensors, where the checkpoint does not describe the encoder: a module of your
                own. ``None``: the checkpoint describes the encoder.
            stream: a stream of the run: its encoder, where the run has several, and the form and preparation of its
                data. ``None``: what all streams share.
            device: where the model is computed.
            preparation, collate: as in :meth:`load`.

        Raises:
            FileNotFoundError: no checkpoint.
            CheckpointError: a torn or foreign checkpoint.
            ValueError: several heads and no name, an unknown name; an encoder or a head that the checkpoint does not
                describe and that is not given; weights that do not fit.
        """
        parts, plain = parts_of_checkpoint(Path(folder), head, encoder, stream)
        return cls._of_facts(parts, plain, device, preparation, collate)

    @classmethod
    def _of_facts(
        cls, parts: Parts, plain: Mapping[str, Any], device: torch.device | str, preparation: Any, collate: Any
    ) -> "Model":
        with model_folder.readable("the description"):
            facts = {name: plain[name] for name in ("label", "input", "precision", "stream", "card")}
            facts["preparation"] = make(plain["preparation"]) if preparation is None else preparation
            facts["collate"] = make(plain["collate"]) if collate is None else collate
            inputs = plain["inputs"]
        made = cls(*parts, device, **facts)
        made.inputs = inputs
        return made


def model_of_run(
    how: Mapping[str, Any], streams: Mapping[str, Source], card: Mapping[str, Any], preparation: Any
) -> Model:
    """Return a copy of the encoder and the head of a trainer as a model.

    Args:
        how: what :func:`adapt.engine.predict` gets: encoder and head with the weights of the evaluation, the stream,
            the form of items, device and autocast.
        streams: of the trainer.
        card: of the run.
        preparation: of the user; None takes the preparation of the data of the streams.
    """
    form = ItemForm(how["label"], how["collate"], how["input"])
    inputs, found = of_streams(streams, how["stream"], form)
    return Model(
        own_copy(how["encoder"]), own_copy(how["head"]), how["device"],
        preparation=found if preparation is None else preparation, **vars(form),
        precision=precision_of(how["autocast"]), stream=how["stream"], inputs=inputs, card=card,
    )  # fmt: skip


def _in_words(plain: Any, value: Any) -> str:
    if value is None:
        return "none, the model reads prepared inputs"
    lost = '"lost"' in json.dumps(plain)
    return f"{type(value).__name__}" + (", with a function that is not saved" if lost else ", saved")
