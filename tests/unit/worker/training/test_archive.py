import hashlib
import io

import pytest
import torch

from worker.training.archive import Archive


def written(content, tensors):
    stream, sha = io.BytesIO(), hashlib.sha256()
    with Archive(stream) as archive:
        for tensor in tensors:
            archive.add(tensor, sha.update)
        archive.end(content)
    return stream.getvalue(), sha.hexdigest()


def loaded(data):
    return torch.load(io.BytesIO(data), weights_only=True)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.bfloat16,
        torch.half,
        torch.int64,
        torch.bool,
        torch.uint8,
        torch.complex64,
    ],
)
def test_torch_loads_tensors_of_every_kind(dtype):
    tensors = [torch.arange(12).reshape(3, 4).to(dtype), torch.ones((), dtype=dtype)]
    tensors.append(torch.zeros(0, 2, dtype=dtype))
    found = loaded(written({"all": tensors, 3: "text"}, tensors)[0])
    assert found[3] == "text"
    for one, other in zip(found["all"], tensors, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(6, 4).T,
        torch.randn(6, 4)[::2, 1:],
        torch.randn(3, 1).expand(3, 4),
    ],
)
def test_any_layout_is_hashed_by_its_axes_and_kept_where_it_has_no_gaps(tensor):
    data, sha = written(tensor, [tensor])
    assert sha == hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    found = loaded(data)
    assert torch.equal(found, tensor)
    assert found.stride() == torch.empty_like(tensor).stride()


def test_a_tensor_that_comes_twice_is_written_once():
    tensor = torch.randn(10**5)
    data, sha = written([tensor, tensor], [tensor, tensor])
    assert len(data) < 1.1 * tensor.nbytes
    assert sha == hashlib.sha256(2 * tensor.numpy().tobytes()).hexdigest()
    one, other = loaded(data)
    assert one.data_ptr() == other.data_ptr()


def test_the_same_content_gives_the_same_bytes():
    one, other = torch.ones(10), torch.ones(10)
    assert written(one, [one]) == written(other, [other])
