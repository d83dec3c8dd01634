"""The card of a model: where the model comes from, what was measured, and which labels were read."""

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import nn

from adapt.engine.callbacks.follow import Follow
from adapt.engine.callbacks.logged import Chooses
from adapt.engine.term import Term
from adapt.heads import Score
from adapt.protocols import Source, offers
from adapt.streams import Stream
from adapt.version import VERSION

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

UNKNOWN = "unknown"


def card_of_run(trainer: "Trainer") -> dict[str, Any]:
    """Return what a trainer knows about its run as json."""
    labels = {name: labels_of(name, stream, trainer.terms) for name, stream in trainer.streams.items()}
    return {
        "data": {name: _data(stream) for name, stream in trainer.streams.items()},
        "labels": labels,
        "target label seen": chosen_by_target(trainer) or target_seen(labels),
        "watched": list(trainer.watch),
        "steps": trainer.step,
        "weights averaged over the steps": trainer.ema is not None,
        "settings": _plain(trainer.settings),
    }


def card_of_rows(dataset: Any, learned: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a head that was solved on rows of the target, or taken without any label.

    Args:
        dataset: the rows, or None.
        learned: who learned from the labels, or None where no label was read.
        settings: for the card.
    """
    labels = {"target": f"learned from, {learned}" if learned else "not read"}
    return {
        "data": {"target": "not known" if dataset is None else shown_data(dataset)},
        "labels": labels,
        "target label seen": target_seen(labels),
        "settings": _plain(settings),
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v if isinstance(v, bool | int | float) else str(v) for k, v in settings.items()}


def labels_of(name: str, stream: Source, terms: Sequence[Term]) -> str:
    """Return whether labels of a stream were read, in words."""
    if not stream.labels:
        return "withheld from all terms"
    learners = [term.name for term in terms if name in term.supervises]
    if learners:
        return f"learned from, by {', '.join(learners)}"
    readers = [term.name for term in terms if term.streams is None or name in term.streams]
    if not readers:
        return "there, and no term reads the stream"
    return f"{UNKNOWN}: there, and {', '.join(readers)} could read them"


def target_seen(labels: Mapping[str, str]) -> str:
    """Return whether a label of the stream `target` was seen in training: yes, no, or unknown with the reason."""
    if "target" not in labels:
        return f"{UNKNOWN}: no stream has the name target"
    found = labels["target"]
    if found.startswith("learned"):
        return "yes"
    return found if found.startswith(UNKNOWN) else "no"


def chosen_by_target(trainer: "Trainer") -> str | None:
    """Return whether a callback chose by target labels, in words; None where no callback did."""
    choices = [(c, c.follow) for c in trainer.callbacks if offers(c, Chooses) and isinstance(c.follow, Follow)]
    for choice, follow in choices:
        if follow.is_oracle(trainer):
            return f"yes, for a choice: {choice!r}"
    for choice, follow in choices:
        if follow.is_unknown(trainer):
            return f"{UNKNOWN}: {choice!r} may have read labels of the target"
    return None


def _data(stream: Source) -> str:
    if not isinstance(stream, Stream):
        return type(stream).__name__
    return shown_data(stream.dataset)


def shown_data(dataset: Any) -> str:
    """Return a data set in one line: what the data set says of itself, and the number of rows."""
    kind = type(dataset)
    own = repr(dataset) if kind.__repr__ is not object.__repr__ and not isinstance(dataset, list | tuple) else ""
    return own if own and "\n" not in own and len(own) < 300 else f"{kind.__name__} of {len(dataset)} rows"


def shown_score(score: Score, dataset: Any, unit: bool) -> dict[str, Any]:
    """Return a score with its interval as json."""
    kept = {name: getattr(score, name) for name in ("metric", "value", "low", "high", "n", "higher_is_better")}
    return kept | {"data": shown_data(dataset), "n counts": "units" if unit else "rows", "words": str(score)}


def weights_of(encoder: nn.Module) -> dict[str, str]:
    """Return source and licence of the weights that training began with."""
    return {
        "source": str(getattr(encoder, "source", None) or UNKNOWN),  # any module may be an encoder
        "licence": str(getattr(encoder, "licence", None) or UNKNOWN),
    }


def versions() -> dict[str, str]:
    """Return the versions of what made the model."""
    return {
        "adapt": VERSION, "torch": str(torch.__version__), "numpy": numpy.__version__,
        "python": platform.python_version(),
    }  # fmt: skip


def readme(plain: Mapping[str, Any]) -> str:
    """Return the page of a model folder in Markdown, from the facts in ``model.json``."""
    card, weights, names = plain["card"], plain["weights"], plain["names"] or []
    scores = [f"- {s['words']}, on {s['data']}; n counts {s['n counts']}" for s in card.get("scores", ())]
    facts = {k: card[k] for k in ("steps", "weights averaged over the steps") if k in card}
    settings = {**facts, **card.get("settings", {}), **plain["versions"]}
    streams = [(name, data, card["labels"].get(name, UNKNOWN)) for name, data in card.get("data", {}).items()]
    watched = [f"Scored along the way, with labels: {', '.join(card['watched'])}.", ""] if card.get("watched") else []
    return "\n".join(
        [
            *("# Model", "", f"Encoder: {plain['encoder kind']}. Head: {plain['head kind']}."),
            *([f"Names: {', '.join(names[:50])}{', ...' if len(names) > 50 else ''}."] if names else []),
            f"Inputs: {plain['inputs'] or UNKNOWN}, for each row. Preparation: {plain['preparation words']}.",
            *("", "```python", "from adapt import Model", "", 'model = Model.load("this folder")'),
            *("model.predict(x)", "```", "", "## Score", "", *(scores or ["Not evaluated."]), ""),
            *("## Data and labels", "", *_table(["stream", "data", "labels"], streams), ""),
            *(f"A target label was seen in training: {card.get('target label seen', UNKNOWN)}.", "", *watched),
            *("## Weights", "", f"The training began with: {weights['source']}. Licence: {weights['licence']}.", ""),
            *("## Settings and versions", "", *_table(["name", "value"], list(settings.items())), ""),
        ]
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [f"| {' | '.join(map(_cell, row))} |" for row in (columns, ["---"] * len(columns), *rows)]


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
