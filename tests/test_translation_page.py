"""The block of docs/translation.md runs, and its model writes what it has read."""

from tests.pages import blocks_of, run_block


def test_the_block_runs(capsys):
    (block,) = blocks_of("translation.md")
    run_block("translation.md", 0, block, {})
    text, score = capsys.readouterr().out.splitlines()
    assert text.startswith("['ein") and float(score.split()[1]) > 50
