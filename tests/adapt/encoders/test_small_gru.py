"""A small recurrent network for sentences."""

import pytest
import torch

from adapt import datasets, encoders


def sentences():
    tokens = torch.randint(1, 5, (4, 6, 3), generator=torch.Generator().manual_seed(0))
    tokens[0, 4:], tokens[1, 2:], tokens[3] = 0, 0, 0  # the last sentence has no word
    return tokens


def network(dropout=0.5):
    torch.manual_seed(0)
    encoder = encoders.small_gru(9, 5, dim=8, dropout=dropout)
    assert not encoder.body.words.weight.any() and not encoder.body.endings.weight.any()
    torch.nn.init.normal_(encoder.body.words.weight)
    return encoder


def test_features_know_no_padding_and_no_neighbours():
    encode, tokens = network().eval(), sentences()
    features = encode(tokens)
    assert encode.dim == 8 and list(encode.layers) == ["words", "endings", "shapes", "context"]
    assert features.shape == (4, 6, 8) and (features != 0).any(2).tolist() == (tokens[..., 2] > 0).tolist()
    torch.testing.assert_close(encode(tokens[1:2, :2]), features[1:2, :2])
    other = tokens.clone()
    other[2, 5, 0] = tokens[2, 5, 0] % 4 + 1
    assert (encode(other)[2, 0] != features[2, 0]).any(), "the first word sees the last word"
    assert torch.equal(encode(other)[:2], features[:2])


def test_a_dropped_word_leaves_its_ending_and_shape():
    encode, tokens = network(dropout=0.5), sentences()[2:3]
    with torch.no_grad():
        encode.body.shapes.weight.zero_()
        encode.body.words.weight.fill_(1.0)
        taken = []
        encode.body.context.register_forward_pre_hook(lambda module, given: taken.append(given[0].data))
        for seed in range(50):
            torch.manual_seed(seed)
            encode(tokens)
    values = torch.stack(taken)
    assert set(values.unique().tolist()) == {0.0, 4.0}, "1 / 0.5 for the word, 1 / 0.5 for the numbers"
    word = (values != 0).any(2).double().mean().item()
    assert abs(word - 0.5) < 0.1, "whole words are dropped"
    encode.eval()
    assert torch.equal(encode(tokens), encode(tokens))


def test_half_precision_and_gradients():
    encode, tokens = network(dropout=0.0), sentences()
    plain = encode(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(encode(tokens).float(), plain, rtol=0.05, atol=0.02)
    plain.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in encode.parameters())
    assert encode.double()(tokens).dtype == torch.float64


def test_numbers_of_words_fit():
    forms = datasets.WordForms(["A dog barks .", "Dogs bark!"], least=1, least_ending=1)
    encode = encoders.small_gru(*forms.sizes, dim=4).eval()
    assert encode(forms.numbers(["The dog barks at 7.", ""], 8)).shape == (2, 8, 4)


def test_other_sizes_and_inputs():
    with pytest.raises(ValueError, match="`dim` must be even, got 7: half of the features"):
        encoders.small_gru(9, 5, dim=7)
    for shape, kind in (((4, 6), torch.long), ((4, 6, 2), torch.long), ((4, 6, 3), torch.float)):
        with pytest.raises(ValueError, match=r"whole numbers of word, ending and shape, got shape .*WordForms"):
            network()(torch.ones(shape, dtype=kind))


@pytest.mark.parametrize("row", [[9, 1, 1], [1, 5, 1], [1, 1, 6], [-1, 1, 1], [1, 0, 0]])
def test_numbers_of_other_sentences_and_a_hole_before_a_word(row):
    tokens = torch.tensor([[row, [1, 1, 1], [0, 0, 0]]])
    if row == [1, 0, 0]:
        assert network()(tokens[:, ::2]).shape == (1, 2, 8), "padding at the end alone"
    with pytest.raises(ValueError, match="words below 9, of endings below 5 .* below 6, with padding of 0 at the end"):
        network()(tokens)


def test_no_sentence_and_no_word_have_no_features():
    assert network()(sentences()[:0]).shape == (0, 6, 8) and network()(sentences()[:, :0]).shape == (4, 0, 8)
