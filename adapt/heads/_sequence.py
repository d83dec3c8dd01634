"""A text from the features of another text, or of an image."""

import math
from collections import abc
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.evaluating import evaluating
from adapt.heads._bleu import bleu
from adapt.heads._chrf import chrf_score
from adapt.heads.beams import search
from adapt.heads.labels import MISSING, check_range, mean_of_present, present, whole_numbers
from adapt.heads.score import Score
from adapt.heads.sizes import check_features, names_of
from adapt.heads.transformer import DecoderLayer, Dropout, EncoderLayer, Keys, start_like_torch, waves
from adapt.protocols import HasDim, dim_of
from losses.options import AT_LEAST_0, BELOW_1, COUNT, FROM_0, TRUTH, check

ROWS = 100  # measured or written together: the logits of more rows would fill the memory
END = 0


class Sequence(nn.Module):
    r"""A transformer that writes a text word by word, from the words before and from features by attention.

    With the features Z ``(t, dim)`` of a sentence, the vectors p of places, the table E of words and the words
    :math:`y_1, y_2, \dots` of the text, after the start word :math:`y_0` of the language:

    .. math:: M = \mathrm{encode}(Z W + p), \qquad
        h_j = \mathrm{decode}(\sqrt{d}\,E_{y_0} + p_0, \dots, \sqrt{d}\,E_{y_{j-1}} + p_{j-1}; M), \qquad
        p(y_j) = \mathrm{softmax}(E h_j)

    "encode" are `encoder_layers` layers of a transformer and a normalisation; "decode" are `layers` layers with
    attention to the places before and to M, and a normalisation. In all layers the normalisation comes first. The loss
    is the mean of :math:`-\log p(y_j)` over the known words of the batch, the end of each text included; the decoder
    reads the true words before. A place with features of 0 alone is padding: no attention.

    Args:
        encoder: an encoder with features of tokens, or a feature size.
        words: the words by number. Word 0 ends a text: :attr:`adapt.datasets.Vocabulary.words`, or
            :attr:`adapt.datasets.BytePairs.words`.
        length: the most words of a text, the end included; 60.
        width: d, features inside of the decoder; 256. The layers have 2 d hidden features.
        layers: of the decoder; 2. With 29,000 pairs deeper decoders gained nothing.
        encoder_layers: on top of the features, learned with the decoder; 0.
        heads: of each attention; 4.
        dropout: share of the entries dropped in training, at the sums of each layer and inside of each layer; 0.
        label_smoothing: :math:`\varepsilon` in [0, 1), as in :class:`Classifier`; 0.
        languages: the names of several languages, or their number. Column 0 of the labels then is the number of the
            language. None: one language.
        language: the language that :meth:`predict` writes; None takes the first.
        byte_level: whether words are pieces of bytes, as ``BytePairs`` makes. Else a blank stands between words.
        vectors: ``(words, width)``, first values of the table, such as word vectors, scaled to a mean square of 1 / d.
            A row of 0 keeps its random start.
        beam: texts that :meth:`predict` follows at once; 1 takes the most probable word each time.
        penalty: of the length, see :meth:`generate`; 1.0, the mean for each word.

    Shapes: features ``(n, t, dim)`` to the memory M ``(n, t, width)``, with 0 at padding. Labels ``(n, m)``, m up to
    `length`: numbers of words, 0 after the last word, then -1. An unknown word is -1 too. With languages
    ``(n, 1 + m)``.

    Attributes:
        words: the words by number.
        natural_scale: the loss of equal probabilities, log of the number of words, for :func:`adapt.multitask.task`.

    Several ranks: the loss is the exact mean over the known words of all ranks.

    Precision: loss and texts have the precision of the pass before, such as bfloat16 under autocast; softmax and
    cross-entropy are float32.

    Raises:
        TypeError, ValueError: fewer than two words; options outside of their range; a `width` that `heads` does not
            divide; `vectors` of another shape; a `language` that is none of `languages`; features of another size or
            without tokens.

    Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762; the normalisation before each
    layer: Xiong et al., 2020, https://arxiv.org/abs/2002.04745; one table: Press and Wolf, 2017,
    https://arxiv.org/abs/1608.05859; languages: Johnson et al., 2017, https://arxiv.org/abs/1611.04558

    >>> head = Sequence(8, ["", "ein", "Hund"], length=5, width=16)
    >>> memory = head(torch.randn(4, 6, 8))
    >>> head.loss(memory, torch.tensor([[1, 2, 0, -1]] * 4)).shape, len(head.predict(memory))
    (torch.Size([]), 4)
    """

    encode: Any  # nn.ModuleList of EncoderLayer
    decode: Any  # nn.ModuleList of DecoderLayer

    def __init__(
        self,
        encoder: HasDim | int,
        words: abc.Sequence[str],
        *,
        length: int = 60,
        width: int = 256,
        layers: int = 2,
        encoder_layers: int = 0,
        heads: int = 4,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        languages: int | abc.Sequence[str] | None = None,
        language: int | str | None = None,
        byte_level: bool = False,
        vectors: Tensor | None = None,
        beam: int = 1,
        penalty: float = 1.0,
    ):
        super().__init__()
        check(COUNT, length=length, width=width, layers=layers, heads=heads, beam=beam)
        check(FROM_0, encoder_layers=encoder_layers)
        check(BELOW_1, dropout=dropout, label_smoothing=label_smoothing)
        check(AT_LEAST_0, penalty=penalty)
        check(TRUTH, byte_level=byte_level)
        if width % heads:
            raise ValueError(f"`width` must be a multiple of the {heads} heads, got {width}: `width={heads * 64}`.")
        self.words, self.length, self.dim = names_of(words, "`words`"), int(length), dim_of(encoder)
        self.width, self.label_smoothing, self.byte_level = int(width), float(label_smoothing), byte_level
        self.beam, self.penalty, self.natural_scale = int(beam), float(penalty), math.log(len(self.words))
        self.languages = None if languages is None else names_of(languages, "`languages`", least=1)
        self.language = self._number(language)
        self._precision: torch.dtype | None = None  # of autocast in the last pass
        sizes: dict[str, Any] = {"width": self.width, "heads": int(heads), "dropout": float(dropout)}
        self.look, self.drop = nn.Linear(self.dim, self.width), Dropout(dropout)
        self.encode = nn.ModuleList(EncoderLayer(**sizes) for _ in range(encoder_layers))
        self.decode = nn.ModuleList(DecoderLayer(**sizes) for _ in range(layers))
        self.norm_memory, self.norm = nn.LayerNorm(self.width), nn.LayerNorm(self.width)
        start_like_torch(self)
        # behind the words: the unknown word, then the start of each language
        self.table = nn.Embedding(len(self.words) + 1 + len(self.languages or [""]), self.width)
        nn.init.normal_(self.table.weight, std=self.width**-0.5)
        if vectors is not None:
            self._start_from(vectors)
        self._options = {
            "length": self.length, "layers": int(layers), "encoder_layers": int(encoder_layers),
            "label_smoothing": self.label_smoothing, "languages": self.languages, "byte_level": byte_level,
            "beam": self.beam, "penalty": self.penalty, **sizes,
        }  # fmt: skip

    def extra_repr(self) -> str:
        shown = f"words={len(self.words)}, length={self.length}, width={self.width}"
        return shown + (f", languages={self.languages}" if self.languages else "")

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.dim, "words": self.words, "language": self.language if self.languages else None}
        return "adapt.heads.Sequence", sizes | self._options

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(
                f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}: take an encoder with "
                'features of tokens, `encoders.from_transformers(model, pool="tokens")`.'
            )
        kind = features.device.type
        self._precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        padding = (features == 0).all(2)
        x = self.look(features)
        x = self.drop(x + waves(x.shape[1], self.width, x.device).to(x.dtype))
        for layer in self.encode:
            x = layer(x, padding[:, None, None])
        return self.norm_memory(x).masked_fill(padding[..., None], 0)

    def predict(
        self, memory: Tensor, length: int | None = None, *, language: int | str | None = None, beam: int | None = None
    ) -> list[str]:
        """Return a text for each row; arguments as in :meth:`generate`."""
        return [self.text(row) for row in self.generate(memory, length, language=language, beam=beam)]

    @torch.no_grad()
    def generate(
        self,
        memory: Tensor,
        length: int | None = None,
        *,
        language: int | str | Tensor | None = None,
        beam: int | None = None,
        penalty: float | None = None,
    ) -> list[list[int]]:
        r"""Return the numbers of the words of a text for each row, without the end.

        The text of a row is the text with the largest :math:`\sum_j \log p(y_j) / m^\lambda` that the beam search finds
        among texts of m words, see :func:`adapt.heads.beams.search`.

        Args:
            memory: of :meth:`forward`.
            length: the most words, up to the `length` of the decoder, which None takes.
            language: name or number, or the numbers ``(n,)``; None takes the `language` of the decoder.
            beam: texts that are followed at once; None takes the `beam` of the decoder.
            penalty: :math:`\lambda`; None takes the `penalty` of the decoder.
        """
        length, beam = self.length if length is None else length, self.beam if beam is None else beam
        penalty = self.penalty if penalty is None else penalty
        check(COUNT, length=length, beam=beam)
        check(AT_LEAST_0, penalty=penalty)
        if isinstance(language, Tensor):
            spoken = language.to(memory.device)
        else:
            number = self.language if language is None else self._number(language)
            spoken = memory.new_full((len(memory),), number, dtype=torch.long)
        found = []
        with evaluating(self), self._as_before(memory):
            for part, start in zip(memory.split(ROWS), self._start(spoken).split(ROWS), strict=True):
                writer = _Writer(self, part)
                found += search(writer, start, min(int(length), self.length), int(beam), float(penalty), END)
        return found

    def text(self, numbers: abc.Iterable[int]) -> str:
        """Return the text of numbers of words; the end, and numbers of unknown words, are left out."""
        words = [self.words[number] for number in numbers if number > 0]
        if not self.byte_level:
            return " ".join(words)
        values = _bytes_of_letters()
        return bytes(values[letter] for word in words for letter in word).decode(errors="replace")

    def loss(self, memory: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the known words; 0 where no word is known."""
        logits, known, _ = self._forced(memory, labels)
        total = F.cross_entropy(logits, known, label_smoothing=self.label_smoothing, reduction="sum")
        return mean_of_present(total, self.present(labels))

    def present(self, labels: Tensor) -> Tensor:
        """Return booleans of the shape of the labels: True where a word is known, False for a language."""
        there = present(labels)
        return there if self.languages is None else torch.cat([torch.zeros_like(there[:, :1]), there[:, 1:]], 1)

    def measure(self, memory: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return for each row the cross-entropy summed over the known words and the number of known words, the text
        that :meth:`predict` writes and the text of the labels; empty texts where no word is known."""
        self.check(labels)
        if len(memory) != len(labels):
            raise ValueError(
                f"`memory` and `labels` must have the same number of sentences, got {len(memory)} and {len(labels)}: "
                "give the labels of the rows of the features."
            )
        totals = []
        for some, truth in zip(memory.split(ROWS), labels.split(ROWS), strict=True):
            logits, known, sentence = self._forced(some, truth)
            costs = F.cross_entropy(logits, known, reduction="none").double()
            totals.append(costs.new_zeros(len(some)).index_add(0, sentence, costs))
        count, found = self.present(labels).sum(1), [""] * len(labels)
        rows = count.nonzero().squeeze(1)
        spoken = None if self.languages is None else labels[rows, 0]
        for row, numbers in zip(rows.tolist(), self.generate(memory[rows], language=spoken), strict=True):
            found[row] = self.text(numbers)
        truth = [self.text(row) for row in self._split(labels)[1].tolist()]
        return {"cost": torch.cat(totals), "words": count, "found": found, "truth": truth}

    def score(self, measures: abc.Mapping[str, Any], units: Tensor | None = None) -> Score:
        """Return chrF2 of the written texts, with a 95 % interval over sentences, and further values.

        Further values: the cross-entropy for each known word in nats, whose exponential is the perplexity; and BLEU,
        where sacrebleu is installed (:func:`adapt.heads.bleu`). The references are the texts of the labels: unknown
        words are left out.

        Args:
            units: the unit of each sentence where sentences belong together, as in :meth:`Classifier.score`.
        """
        there = measures["words"] > 0
        if not there.any():
            raise ValueError("`measures` have no known word: a score needs at least one labelled row.")
        found, truth = ([text for text, keep in zip(measures[k], there, strict=True) if keep] for k in _TEXTS)
        further = {"cross-entropy": float(measures["cost"].sum() / measures["words"].sum())}
        try:
            further["BLEU"] = bleu(found, truth, interval=False).value
        except ImportError:
            pass  # a number less: sacrebleu is an extra
        return replace(chrf_score(found, truth, None if units is None else units[there]), further=further)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, m)`` numbers of words or -1, with m from 1 to `length`; with
        languages ``(n, 1 + m)``.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a sequence decoder", "(n, length)", 2)
        language, words = self._split(labels)
        if not 0 < words.shape[1] <= self.length:
            raise ValueError(
                f"`labels` must have 1 to {self.length} words for each sentence, got {words.shape[1]}: cut the "
                "sentences, or give the decoder a larger `length`."
            )
        check_range(words, len(self.words))
        known = len(self.languages or [""])
        if ((language < 0) | (language >= known))[(words != MISSING).any(1)].any():
            raise ValueError(
                f"column 0 of `labels` must be the number of a language, 0 to {known - 1}, got "
                f"{int(language.min())} to {int(language.max())}."
            )

    def _number(self, language: int | str | None) -> int:
        """Return the number of a language."""
        names = self.languages or []
        if language is None:
            return 0
        if isinstance(language, str) and language in names:
            return names.index(language)
        if isinstance(language, str) or not FROM_0[1](language) or language >= len(names):
            raise ValueError(f"`language` must be one of {names} or a number of these, got {language!r}.")
        return int(language)

    def _start_from(self, vectors: Tensor) -> None:
        if not isinstance(vectors, Tensor) or vectors.shape != (len(self.words), self.width):
            found = tuple(vectors.shape) if isinstance(vectors, Tensor) else f"a {type(vectors).__name__}"
            raise ValueError(
                f"`vectors` must be ({len(self.words)}, {self.width}), a vector for each word, got {found}: give "
                "`width=vectors.shape[1]`."
            )
        there = vectors.any(1)
        scale = vectors[there].square().mean().sqrt() * self.width**0.5
        with torch.no_grad():
            self.table.weight[: len(self.words)][there] = (vectors[there] / scale).to(self.table.weight)

    def _as_before(self, memory: Tensor) -> torch.autocast:
        """Return the precision of the last pass: a trainer computes losses outside of autocast."""
        return torch.autocast(memory.device.type, self._precision, enabled=self._precision is not None)

    def _start(self, language: Tensor) -> Tensor:
        """Return the number of the start word of each language in the table."""
        return len(self.words) + 1 + language

    def _split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the language of each row, and the numbers of the words."""
        if self.languages is None:
            return labels.new_zeros(len(labels), dtype=torch.long), labels.long()
        return labels[:, 0].long(), labels[:, 1:].long()

    def _embedded(self, words: Tensor, first: int = 0) -> Tensor:
        x = self.table(words) * self.width**0.5
        return x + waves(words.shape[1], self.width, x.device, first).to(x.dtype)

    def _logits(self, states: Tensor) -> Tensor:
        """Return logits in float32 or more."""
        z = F.linear(self.norm(states), self.table.weight[: len(self.words)])
        return z.to(torch.promote_types(z.dtype, torch.float32))

    def _forced(self, memory: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits and labels of all known words, and the number of the sentence of each word.

        Places after the last known word of the batch are not computed: two host synchronisations on a GPU.
        """
        language, words = self._split(labels)
        there = words != MISSING
        length = int(there.any(0).nonzero().max()) + 1 if there.any() else 1
        words, there = words[:, :length], there[:, :length]
        start = self._start(language.clamp_min(0))[:, None]
        before = torch.cat([start, words[:, :-1].masked_fill(~there[:, :-1], len(self.words))], 1)
        future = torch.ones(length, length, dtype=torch.bool, device=memory.device).triu(1)
        padding = (memory == 0).all(2)[:, None, None]
        with self._as_before(memory):
            x = self.drop(self._embedded(before))
            for layer in self.decode:
                x, _ = layer(x, layer.look.keys(memory), padding, future)
            return self._logits(x[there]), words[there], there.nonzero()[:, 0]


_TEXTS = "found", "truth"


class _Writer:
    """The logits of the next word of each beam; keys of the places before are kept."""

    def __init__(self, head: Sequence, memory: Tensor):
        self.head, self.padding = head, (memory == 0).all(2)[:, None, None]
        self.memory = [layer.look.keys(memory) for layer in head.decode]
        self.kept: list[Keys | None] = [None] * len(head.decode)

    def __call__(self, words: Tensor, place: int, parents: Tensor | None) -> Tensor:
        n, beams = words.shape
        if parents is not None:
            rows = (parents + torch.arange(n, device=words.device)[:, None] * beams).flatten()
            self.kept = [None if kept is None else (kept[0][rows], kept[1][rows]) for kept in self.kept]
        x = self.head._embedded(words.reshape(-1, 1), place)
        for number, layer in enumerate(self.head.decode):
            x, self.kept[number] = layer(x, self.memory[number], self.padding, None, self.kept[number])
        return self.head._logits(x).view(n, beams, -1)


@cache
def _bytes_of_letters() -> dict[str, int]:
    """Return the byte of each letter of byte-level pieces: printable bytes stand for themselves, the other bytes are
    the letters from 256 on, as in GPT-2."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
