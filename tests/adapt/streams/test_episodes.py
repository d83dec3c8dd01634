"""Episodes: few-shot tasks as a stream, a function of the number of the batch, and a prototypical term on them."""

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

import losses
from adapt import Stream, Term, Trainer, encoders
from adapt.engine import Step
from adapt.streams import episodes

LABELS = torch.arange(60) % 6
DATA = TensorDataset(torch.arange(60.0)[:, None], LABELS)
SIZES = episodes(ways=3, shots=2, queries=4, tasks=2)


def take(count=5, start=0, rank=0, world=1, *, seed=0, data=DATA, sampling=SIZES, **options):
    batches = Stream(data, sampling=sampling, **options).batches("s", seed, start, rank=rank, world=world)
    return [next(batches) for _ in range(count)]


def split(batch, encoder=torch.nn.Identity()):
    step = Step({"s": batch}, encoder)
    return step["s"].episodes()


def test_an_episode_has_support_and_queries_of_its_classes():
    local = []
    for batch in take(20):
        assert len(batch.index) == 36 and torch.equal(batch.labels, LABELS[batch.index])
        step = Step({"s": batch}, torch.nn.Identity())
        both = step["s"].episodes()
        assert len(both) == 2
        for e in both:
            assert e.support.shape == (6, 1) and e.queries.shape == (12, 1)
            rows = torch.cat([e.support, e.queries])[:, 0].long()
            assert len(rows.unique()) == 18, "a row comes twice"
            assert e.support_labels.bincount().tolist() == [2] * 3 and e.query_labels.bincount().tolist() == [4] * 3
            numbers = torch.cat([e.support_labels, e.query_labels])
            classes = [LABELS[rows[numbers == k]].unique().tolist() for k in range(3)]
            assert all(len(c) == 1 for c in classes) and len({c[0] for c in classes}) == 3
            local.append([c[0] for c in classes])
        other = step["s"].episodes({"double": 2 * batch.inputs, "label": batch.labels})[1]
        assert torch.equal(other.support["double"], 2 * both[1].support) and other.queries["label"].shape == (12,)
    first = torch.tensor(local)[:, 0].bincount(minlength=6)
    assert first.min() > 0 and (torch.tensor(local).diff(dim=1) < 0).any(), "local numbers follow the class"


def test_the_order_is_a_function_of_the_batch():
    whole = take(8)
    for one, other in zip(whole[5:], take(3, start=5), strict=True):
        assert torch.equal(one.index, other.index)
    assert not torch.equal(whole[0].index, whole[1].index)
    assert not torch.equal(whole[0].index, take(1, seed=1)[0].index)


class Listed(Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        return DATA[index]


def jitter(x):
    return x + torch.rand(())


def test_the_order_does_not_depend_on_workers():
    options = {"data": Listed(), "by": LABELS, "augment": jitter}
    for one, other in zip(take(**options), take(workers=2, **options), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.index, other.index)
        assert len(split(other)) == 2


def test_the_episodes_of_all_ranks_are_those_of_one_rank():
    whole, ranks = take(), [take(rank=r, world=2) for r in range(2)]
    for number, batch in enumerate(whole):
        assert torch.equal(torch.cat([r[number].index for r in ranks]), batch.index)
        apart = [e for r in ranks for e in split(r[number])]
        for one, other in zip(apart, split(batch), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    with pytest.raises(ValueError, match="episodes of a step of stream `s` must divide by the 2 ranks, got 1"):
        take(sampling=episodes(3, 2, 4), world=2)


def test_missing_labels_are_not_drawn_and_groups_need_no_labels():
    labels = LABELS.clone()
    labels[LABELS == 5] = -1
    for batch in take(20, data=TensorDataset(DATA.tensors[0], labels)):
        assert (LABELS[batch.index] < 5).all()
    (batch,) = take(1, data=TensorDataset(DATA.tensors[0]), labels=False, by=[f"group {i % 3}" for i in range(60)])
    assert batch.labels is None and len(split(batch)) == 2


def test_epochs_and_texts():
    made = Stream(DATA, sampling=SIZES)
    assert made.batch_size == 36 and made.per_epoch == 1 and Stream(DATA, sampling=episodes(3, 1, 1)).per_epoch == 10
    assert "sampling=episodes(ways=3, shots=2, queries=4, tasks=2)" in repr(made)
    assert repr(made) != repr(Stream(DATA, sampling=SIZES, by=LABELS + 1))


def prototypical(step):
    each = [losses.prototypical(*e, classes=3, global_batch=False) for e in step["tasks"].episodes()]
    return torch.stack(each).mean()


def clouds():
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 2, generator=g) * 3
    noise = torch.randn(60, 8, generator=g) * 8  # hides the two columns that tell the classes
    return TensorDataset(torch.cat([centres[LABELS] + torch.randn(60, 2, generator=g) / 2, noise], 1), LABELS)


def test_a_prototypical_term_learns_to_leave_the_noise_out():
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(10, 2), 2)
    streams = {"tasks": Stream(clouds(), sampling=episodes(3, 1, 5, tasks=4))}
    adam = lambda groups: torch.optim.Adam(groups, lr=0.02)  # noqa: E731
    term = Term("prototypes", prototypical)
    made = Trainer(encoder, [term], streams, optimizer=adam, progress=False, device="cpu")

    def accuracy():
        hits = []
        for batch in take(30, seed=9, data=clouds(), sampling=episodes(3, 1, 5)):
            with torch.no_grad():
                (e,) = split(batch, encoder)
            hits.append((torch.cdist(e.queries, e.support).argmin(1) == e.query_labels).float().mean())
        return torch.stack(hits).mean()

    before = accuracy()
    made.fit(150)
    assert before < 0.6 and accuracy() > 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": episodes(7, 1, 1)}, "`ways` of `episodes` must be at most the 6 classes, got 7"),
        ({"sampling": episodes(2, 6, 5)}, r"needs 11 rows of each class.*class 0 has 10 \(6 such classes\)"),
        ({"batch_size": 36}, "follows from the episodes, 2 of 18 rows, got 36: leave `batch_size` out"),
        ({"last": "keep"}, "`last` must be 'drop' with episodes, got 'keep'"),
        ({"shuffle": False}, "`shuffle=False` keeps the order"),
        ({"data": Listed()}, r"`sampling=episodes\(...\)` needs the class of every row"),
        (
            {"sampling": "uniform"},
            "`batch_size` must be a whole number between 1 and the 60 rows of `dataset`, got None",
        ),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        take(**options)


@pytest.mark.parametrize("name", ["ways", "shots", "queries", "tasks"])
@pytest.mark.parametrize("value", [0, 1.5, True])
def test_bad_sizes(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number of at least"):
        episodes(**{"ways": 2, "shots": 1, "queries": 1} | {name: value})


def test_a_stream_without_episodes_names_the_remedy():
    with pytest.raises(ValueError, match="stream `s` draws no episodes: make the stream with `sampling=episodes"):
        split(next(Stream(DATA, 4).batches("s", 0)))
