"""Comments and messages: every text once or as often as it is there, and files that are no such files."""

import pytest

from adapt import datasets


def write(root, rows=("b,1", '"a, ""x""\n new line",0', "b,1", "b,0")):
    (root / "youtube_spam").mkdir(exist_ok=True)
    (root / "sms_spam").mkdir(exist_ok=True)
    for video in datasets.SPAM_VIDEOS:
        text = "\ufeffCONTENT,CLASS\n" + "\n".join(rows) + "\n"
        (root / "youtube_spam" / f"{video}.csv").write_text(text, encoding="utf-8")
    (root / "sms_spam" / "SMSSpamCollection.tsv").write_text(
        "ham\thello\x85 you\nspam\twin\ta prize\nham\thello\x85 you\n"
    )


def test_comments(tmp_path):
    write(tmp_path)
    found = datasets.youtube_spam(tmp_path)
    assert list(found) == list(datasets.SPAM_VIDEOS)
    assert found["Psy"].texts == ["b", 'a, "x"\n new line'] and found["Psy"].labels.tolist() == [1, 0]
    every = datasets.youtube_spam(tmp_path, distinct=False)["Psy"]
    assert len(every.texts) == 4 and every.labels.tolist() == [1, 0, 1, 0]


def test_messages(tmp_path):
    write(tmp_path)
    found = datasets.sms_spam(tmp_path)
    assert found.texts == ["hello\x85 you", "win\ta prize"] and found.labels.tolist() == [0, 1]
    assert len(datasets.sms_spam(tmp_path, distinct=False).texts) == 3


def test_files_of_another_kind_are_named(tmp_path):
    write(tmp_path, rows=["b,2"])
    with pytest.raises(ValueError, match="Psy.csv` cannot be read as a table with the columns CONTENT and CLASS"):
        datasets.youtube_spam(tmp_path)
    write(tmp_path, rows=[])
    with pytest.raises(ValueError, match="found 0 rows"):
        datasets.youtube_spam(tmp_path)
    (tmp_path / "sms_spam" / "SMSSpamCollection.tsv").write_text("first names\n")
    with pytest.raises(ValueError, match="SMSSpamCollection.tsv` cannot be read as lines of ham or spam"):
        datasets.sms_spam(tmp_path)
    with pytest.raises(ValueError, match="`distinct` must be True or False, got 1"):
        datasets.sms_spam(tmp_path, distinct=1)


@pytest.mark.data
def test_the_published_counts():
    videos, phone = datasets.youtube_spam(), datasets.sms_spam()
    assert [len(v.texts) for v in videos.values()] == [349, 348, 340, 413, 332]
    assert sum(len(v.texts) for v in datasets.youtube_spam(distinct=False).values()) == 1956
    assert (len(phone.texts), int(phone.labels.sum())) == (5171, 653)
