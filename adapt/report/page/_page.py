"""The page of an experiment, in every form."""

import json
from collections.abc import Sized
from pathlib import Path

from adapt import store
from adapt.report._experiment import Experiment
from adapt.report.figures import save
from adapt.report.page._benefit import benefit_section
from adapt.report.page._choice import choice_section
from adapt.report.page._cost import cost_section
from adapt.report.page._distance import distance_section
from adapt.report.page._document import Document, Section
from adapt.report.page._enough import enough_section
from adapt.report.page._failed import failed_section
from adapt.report.page._harm import harm_section
from adapt.report.page._html import html
from adapt.report.page._json import plain
from adapt.report.page._markdown import block, markdown
from adapt.report.page._overview import overview
from adapt.report.page._provenance import provenance_section
from adapt.report.page._scores import scores_section
from adapt.report.page._tensorboard import write
from adapt.report.page._units import several
from adapt.report.page._verdict import main_table, verdict_section
from adapt.report.page._view import View

QUICK = "A quick run: it tries whether everything works. The numbers mean nothing."
SECTIONS = (
    verdict_section,
    scores_section,
    benefit_section,
    distance_section,
    harm_section,
    cost_section,
    enough_section,
    choice_section,
    provenance_section,
    failed_section,
)


def document(experiment: Experiment) -> Document:
    """Return the page of an experiment, before the page becomes HTML or Markdown."""
    view = View(experiment)
    title = Path(experiment.folder).name or "experiment"
    axes: dict[str, Sized] = {"method": experiment.methods, "target": experiment.tasks, "seed": experiment.seeds}
    subtitle = several(f"{len(names)} {axis}{'s' * (len(names) != 1)}" for axis, names in axes.items())
    sections: list[Section] = [section(view) for section in SECTIONS]
    return Document(title, f"{subtitle}. Score: {experiment.metric}.", [QUICK] if experiment.quick else [], sections)


def write_page(experiment: Experiment, path: str | Path | None = None) -> Path:
    """Write the page and return the path.

    Args:
        path: ``.html`` for one self-contained file, ``.md`` for Markdown without pictures. None: ``report.html`` in
            the folder of the experiment.

    Raises:
        ValueError: another ending.
    """
    path = Path(experiment.folder) / "report.html" if path is None else Path(path)
    forms = {".html": html, ".md": markdown}
    if path.suffix not in forms:
        raise ValueError(f"`path` must end in {' or '.join(forms)}, got {path.name!r}.")
    return _write(path, forms[path.suffix](experiment.document))


def table(experiment: Experiment) -> str:
    """Return the main table as Markdown. A quick run says above the table that the numbers mean nothing."""
    shown = block(main_table(View(experiment)))
    return f"> **{QUICK}**\n\n{shown}" if experiment.quick else shown


def write_json(experiment: Experiment, path: str | Path | None = None) -> Path:
    """Write all facts of the page as JSON and return the path; None: ``report.json`` in the folder."""
    page = experiment.document
    facts = {
        "quick": experiment.quick,
        "notes": list(page.notes),
        "settings": experiment.settings,
        "seeds": list(experiment.seeds),
        **{section.key: section.facts for section in page.sections},
    }
    path = Path(experiment.folder) / "report.json" if path is None else Path(path)
    return _write(path, json.dumps(plain(facts), indent=1, allow_nan=False) + "\n")


def write_figure(experiment: Experiment, path: str | Path | None = None) -> Path:
    """Write the scores and the features before and after as PNG, and return the path; None: ``report.png``.

    Raises:
        ValueError: no target with a score of the baseline.
    """
    view = View(experiment)
    if not view.targets:
        raise ValueError(
            f"there is nothing to draw: no seed of the baseline {view.baseline!r} has a score, see `failed`."
        )
    path = Path(experiment.folder) / "report.png" if path is None else Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(overview(view, QUICK if experiment.quick else ""), path)


def write_tensorboard(experiment: Experiment, folder: str | Path | None = None) -> Path:
    """Write text, pictures and mean curves as TensorBoard events, and return the folder; None: ``tensorboard``."""
    folder = Path(experiment.folder) / "tensorboard" if folder is None else Path(folder)
    write(View(experiment), experiment.document, folder)
    return folder


def _write(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.whole_file(path) as temporary:
        temporary.write_text(words, encoding="utf-8")
    return path
