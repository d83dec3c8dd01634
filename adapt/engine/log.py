"""TensorBoard: one writer, on rank 0."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from adapt.engine import runtime
from adapt.engine.evaluate import Measured, score
from adapt.engine.pictures import affinity_figure, confusion_figure
from adapt.engine.tasks.conflicts import Conflicts
from adapt.protocols import CountsPairs, offers

PROJECTED = 300  # first rows of each watched set on the PROJECTOR page


class Log:
    """Writes event files into `folder`.

    Args:
        folder: made where it does not exist.
        first_step: TensorBoard drops the scalars of this step and of later steps, which an interrupted run has written.
    """

    def __init__(self, folder: Path, first_step: int = 0):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            if value == value:  # NaN: the task was not in the batch
                self.writer.add_scalar(tag, value, step)

    def text(self, tag: str, lines: Mapping[str, object], step: int) -> None:
        """Write a table of two columns."""
        rows = "\n".join(f"| {k} | {v} |" for k, v in lines.items())
        self.writer.add_text(tag, f"| | |\n|---|---|\n{rows}", step)

    def hparams(self, settings: Mapping[str, object], results: Mapping[str, float]) -> None:
        """Write the run as a row of TensorBoard's HPARAMS page, into the event file of the run."""
        from torch.utils.tensorboard.summary import hparams

        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in settings.items()}
        writer = self.writer._get_file_writer()
        for summary in hparams(plain, dict(results)):
            writer.add_summary(summary)
        for tag, value in results.items():
            self.writer.add_scalar(tag, value)

    def confusion(self, tag: str, counts: Tensor, names: Sequence[str], step: int) -> None:
        self.writer.add_figure(tag, confusion_figure(counts, names), step)

    def embedding(self, features: Tensor, domains: Sequence[str], classes: Sequence[str], step: int) -> None:
        """Write features for the PROJECTOR page, with domain and class for the colours."""
        rows = [list(pair) for pair in zip(domains, classes, strict=True)]
        self.writer.add_embedding(features, metadata=rows, metadata_header=["domain", "class"], global_step=step)

    def watched(
        self, found: Mapping[str, tuple[Measured, nn.Module]], settings: Mapping[str, object], step: int, *, final: bool
    ) -> None:
        """Write the scores of all watched sets; in the first step the settings; after the last step the pictures.

        Args:
            found: (measured rows, head) by name of the watched set.
            settings: of the run.
            final: after the last step: write confusion matrices, projector and the row of the HPARAMS page.
        """
        scores = {name: score(head, measured.measures) for name, (measured, head) in found.items()}
        self.scalars({f"{s.metric.replace(' ', '_')}/{n}": s.value for n, s in scores.items()}, step)
        if step == 0:
            self.text("settings", settings, 0)
        if final:
            self._pictures(found, step)
            self.hparams(settings, {f"final/{n}": s.value for n, s in scores.items()})

    def _pictures(self, found: Mapping[str, tuple[Measured, nn.Module]], step: int) -> None:
        """Write confusion matrices, and the first features of all watched sets, together, for the projector."""
        features, domains, classes = [], [], []
        for name, (measured, head) in found.items():
            names = head.names if offers(head, CountsPairs) else None
            if offers(head, CountsPairs):
                self.confusion(f"confusion/{name}", head.confusion(measured.measures), head.names, step)
            features.append(measured.features.flatten(1))
            single = isinstance(measured.labels, Tensor)
            labels = measured.labels.tolist() if single else ["several"] * len(features[-1])
            domains += [name] * len(labels)
            classes += [names[y] if names and isinstance(y, int) else str(y) for y in labels]
        if len({f.shape[1] for f in features}) == 1:
            self.embedding(torch.cat(features), domains, classes, step)

    def tasks(self, conflicts: Conflicts, step: int) -> None:
        """Write how the gradients of several tasks agree: a figure and a sentence."""
        sentence = conflicts.verdict()
        if sentence:
            self.writer.add_figure("tasks/affinity", affinity_figure(conflicts.affinity(), conflicts.tasks), step)
            self.writer.add_text("tasks/verdict", sentence, step)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def claim(folder: Path) -> None:
    """Raise unless `folder` is new or empty. Every rank looks before any rank writes.

    Raises:
        FileExistsError: there is a run in the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"`{folder}` already holds a run: continue it with `trainer.resume()`, or choose another folder "
            "(`log=...`). Nothing in it was changed."
        )
    runtime.wait()
