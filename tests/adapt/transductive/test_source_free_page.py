"""The blocks of docs/source_free.md run one after the other, from a saved model and rows of another place."""

from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, transductive
from tests.adapt.engine.tiny import cloud, network
from tests.pages import DOCS, blocks_of, run_block

PAGE = "source_free.md"


def test_the_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder, head = network(batch_norm=True)
    streams = {"source": Stream(cloud(200), 20)}
    trainer = Trainer(encoder, [adapt.supervised(head, "source")], streams, progress=False, device="cpu")
    trainer.fit(60).model(head).save("models/source")
    images = cloud(200, seed=1, shift=0.5)
    names = {"images": images, "new_images": images[:8][0], "target": TensorDataset(images.tensors[0])}
    names |= {"texts": ["win cash now", "see you at lunch"] * 10, "names": ["spam", "ham"] * 10}
    names |= {"new_texts": ["cash for you now", "lunch at noon"] * 5}
    for number, block in enumerate(blocks_of(PAGE)):
        run_block(PAGE, number, block, names)
    assert names["adapted"].card["adaptation"]["adapted"] and names["adapted"].card["adaptation"]["signs of harm"] == []
    assert len(names["terms"]) == 2 and not any(p.requires_grad for p in names["model"].head.parameters())
    assert names["found"].predict(names["new_texts"][:2]).tolist() == ["spam", "ham"]


def test_every_method_is_on_the_page():
    page = (DOCS / PAGE).read_text()
    for name in ("source_free", "shot_im", "shot", "nrc", "aad", "cbst", "self_training", "label_propagation", "harm"):
        assert f"transductive.{name}" in page and name in transductive.__all__
