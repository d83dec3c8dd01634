"""`fewshot.transduce`: names for a set of queries together."""

import numpy
import pytest
import torch

from adapt import datasets, fewshot
from tests.adapt.fewshot.test_fit import encoder, people


def test_the_answers_are_the_method_on_features_with_the_names_of_the_user():
    x, names, queries, right = people(counts=(2, 2, 2))
    made = encoder()
    for method in (None, fewshot.bd_cspn(), fewshot.pt_map(prior=[0.2, 0.3, 0.5], power=None)):
        found = fewshot.transduce(made, x, names, queries=queries, method=method)
        assert found.names == ["Zoë", "ada", "李雷"]
        numbers = torch.tensor([found.names.index(n) for n in names])
        with torch.no_grad():
            expected = (method or fewshot.alpha_tim())(made(x), numbers, made(queries)).exp()
        numpy.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
        assert found.predicted.tolist() == [found.names[i] for i in found.probabilities.argmax(1)]
    assert (fewshot.transduce(made, x, names, queries=queries).predicted == right).mean() > 0.8
    by_data = fewshot.transduce(made, datasets.arrays(x, names), queries=datasets.arrays(queries))
    assert by_data.predicted.tolist() == fewshot.transduce(made, x, names, queries=queries).predicted.tolist()


def test_what_cannot_be_named_is_refused():
    x, names, queries, _ = people()
    made = encoder()
    with pytest.raises(TypeError, match="transductive method"):
        fewshot.transduce(made, x, names, queries=queries, method=fewshot.cl2n())
    with pytest.raises(ValueError, match="1 have none, the first 'new'"):
        fewshot.transduce(made, x, names, queries=queries, classes=[*sorted(set(names)), "new"])
    with pytest.raises(ValueError, match="the features of `queries` must be"):
        fewshot.transduce(made, x, names, queries=queries * torch.inf)
