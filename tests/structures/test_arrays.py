"""One conversion of tensors, arrays and lists: types and memory are unchanged unless options request a change."""

import numpy as np
import pytest
import torch

from visionzoo.structures.arrays import as_array


@pytest.mark.parametrize(
    ("values", "options", "dtype"),
    [
        (torch.zeros(2, dtype=torch.float64), {}, np.float64),
        (torch.zeros(2, dtype=torch.float64, requires_grad=True), {"single": True}, np.float32),
        (torch.zeros(2, dtype=torch.bfloat16), {}, np.float32),
        (torch.zeros(2, dtype=torch.int64), {}, np.int64),
        (torch.zeros(2, dtype=torch.bool), {"dtype": np.uint8}, np.uint8),
        (np.zeros(2), {"single": True}, np.float64),
        ([0.0, 0.0], {"dtype": np.float32}, np.float32),
    ],
)
def test_types(values, options, dtype):
    array = as_array(values, **options)
    assert array.dtype == dtype
    assert array.tolist() == [0, 0]


def test_memory_is_shared():
    tensor = torch.zeros(2)
    assert np.shares_memory(as_array(tensor), tensor.numpy())
