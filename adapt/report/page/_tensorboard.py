"""The page in TensorBoard: the text of each section, the pictures, and the mean curve of each method."""

import io
import re
from pathlib import Path
from typing import Any

import numpy

from adapt.report.page._curves import Curves, over_steps
from adapt.report.page._document import Document, Picture
from adapt.report.page._html import drawn
from adapt.report.page._markdown import block
from adapt.report.page._view import View


def write(view: View, page: Document, folder: Path) -> None:
    """Write event files: one run ``page`` with text and pictures, and one run per method with mean curves."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.rglob("events.out.tfevents.*"):  # a second call replaces the first
        old.unlink()
    with SummaryWriter(str(folder / "page")) as writer:
        for note in page.notes:
            writer.add_text("page/notes", note)
        for section in page.sections:
            pictures = [part for part in section.blocks if isinstance(part, Picture)]
            words = [block(part) for part in section.blocks if not isinstance(part, Picture)]
            writer.add_text(f"page/{section.key}", "\n\n".join(words))
            for number, picture in enumerate(pictures):
                writer.add_image(f"{section.key}/{number}", _pixels(picture.figure), dataformats="HWC")
    tags = dict.fromkeys(tag for r in view.records for tag in r.curves)
    for number, method in enumerate(view.experiment.methods):
        with SummaryWriter(str(folder / f"mean-{number:02d}-{re.sub('[^A-Za-z0-9.]+', '-', method)[:40]}")) as writer:
            for found in (over_steps(view, target, tag) for target in view.targets for tag in tags):
                if method in found.lines:
                    _line(writer, found, method)


def _line(writer: Any, found: Curves, method: str) -> None:
    """Write the mean over the seeds at each step that all seeds share."""
    at, values = found.line(method)
    tag = f"{found.where}/{found.name}" if found.where else found.name
    for step, mean in zip(at, values.mean(0), strict=True):
        writer.add_scalar(tag, mean, int(step))


def _pixels(figure: Any) -> Any:
    """Return a figure as an array ``(height, width, 3)``."""
    from PIL import Image

    return numpy.asarray(Image.open(io.BytesIO(drawn(figure, "png"))).convert("RGB"))
