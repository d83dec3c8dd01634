"""Pairs of sentences: quotes are letters, linked pairs are one group, torn files are named."""

import itertools
import random

import pytest

from adapt import datasets

HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
ROWS = ['1\t1\t2\tHe said "no.\tNo", he said.\n', "0\t3\t4\tA\tB\n", "1\t4\t5\tB\tC\n"]


def write(root, train="".join(ROWS), test="1\t5\t6\tC\tD\n0\t7\t8\tE\tF\r\n", header=HEADER):
    (root / "mrpc").mkdir(exist_ok=True)
    for part, rows in {"train": train, "test": test}.items():
        (root / "mrpc" / f"msr_paraphrase_{part}.txt").write_bytes((header + rows).encode())


def test_quotes_are_letters_and_linked_pairs_are_one_group(tmp_path):
    write(tmp_path)
    train, test = datasets.mrpc(tmp_path)
    assert train.first == ['He said "no.', "A", "B"] and train.second == ['No", he said.', "B", "C"]
    assert train.labels.tolist() == [1, 0, 1] and test.second == ["D", "F"]
    assert train.groups.tolist() == [0, 1, 1] and test.groups.tolist() == [1, 2]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"header": "Quality\tText\n"}, "found the header 'Quality.tText' and 3 pairs"),
        ({"train": ""}, "and 1 pairs|and 0 pairs"),
        ({"train": ROWS[0] + "1\t2\n"}, "line 3 has no quality"),
        ({"test": "2\t1\t2\tA\tB\n"}, "line 2 has no quality"),
        ({"test": "1\t1\t2\tA\t\n"}, "line 2 has no quality"),
    ],
)
def test_torn_files_are_named(tmp_path, change, message):
    write(tmp_path, **change)
    part = "test" if "test" in change else "train"
    with pytest.raises(ValueError, match=f"msr_paraphrase_{part}.txt` cannot be read as lines .*({message})"):
        datasets.mrpc(tmp_path)


def test_groups_are_the_connected_parts_of_the_graph():
    draw = random.Random(0)
    pairs = [(draw.randrange(40), draw.randrange(40)) for _ in range(25)]
    found = datasets.linked(*zip(*pairs, strict=True)).tolist()
    parts = [set(pair) for pair in pairs]
    for _ in pairs:  # join parts until nothing changes
        parts = [set().union(*(other for other in parts if other & part)) for part in parts]
    for (i, a), (j, b) in itertools.combinations(enumerate(parts), 2):
        assert (found[i] == found[j]) == (a == b)
    assert list(dict.fromkeys(found)) == list(range(len(set(found))))
    with pytest.raises(ValueError, match="`first` and `second` must have one item"):
        datasets.linked(["a"], [])
    with pytest.raises(ValueError, match="at least one pair"):
        datasets.linked([], [])


@pytest.mark.data
def test_the_published_counts(tmp_path):
    train, test = datasets.mrpc()
    assert [(len(p.first), int(p.labels.sum())) for p in (train, test)] == [(4076, 2753), (1725, 1147)]
    known = set(train.first) | set(train.second)
    assert sum(a in known or b in known for a, b in zip(test.first, test.second, strict=True)) == 267
    whole = datasets.data_file("mrpc", "msr_paraphrase_test.txt").read_text()
    write(tmp_path, test="".join(whole.splitlines(keepends=True)[1:1000]))
    with pytest.raises(ValueError, match="found 999 rows, and the published file has 1725 rows"):
        datasets.mrpc(tmp_path)
