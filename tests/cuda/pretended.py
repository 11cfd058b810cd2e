"""A pretended GPU: tensors that say they are on ``cuda:0`` while their data is on the CPU.

Every operation passes through :func:`dispatch`. It refuses what CUDA refuses, such as tensors of both devices in one
operation, and counts the operations for which the host waits for the device. Nothing of lecdsr is replaced.
"""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

import lecdsr

CUDA = torch.device("cuda", 0)
PACKAGE = str(Path(lecdsr.__file__).parent)

#: Operations whose result has a size that only the device knows.
DATA_DEPENDENT = {
    *("nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "repeat_interleave"),
    *("_coalesce", "bincount", "equal", "is_nonzero"),
}
INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_"}
PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "mv", "dot"}
#: What autocast casts down and up on CUDA (docs/source/amp.rst of PyTorch), by names of Python functions.
LOW = {
    *("linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "addbmm", "addmv", "mv", "einsum", "__matmul__"),
    *("__rmatmul__", "scaled_dot_product_attention"),
}
HIGH = {
    *("__pow__", "__rpow__", "__rdiv__", "__rtruediv__", "cosine_similarity", "cross_entropy", "cumsum", "exp"),
    *("layer_norm", "log", "log_softmax", "logsumexp", "norm", "normalize", "pow", "prod", "reciprocal", "rsqrt"),
    *("softmax", "softplus", "sum"),
}


class DeviceError(RuntimeError):
    """What CUDA would have refused."""


#: Where the host waited for the device, and why: ``(file:line, reason)`` -> times.
syncs: collections.Counter[tuple[str, str]] = collections.Counter()


def sync(reason: str) -> None:
    syncs[where(), reason] += 1


def where() -> str:
    """The line of lecdsr that runs; autograd and optimisers are called by none."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE).lstrip('/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside"


class Cuda(torch.Tensor):
    """A tensor on ``cuda:0`` to Python and to autocast; its storage, and the engine of autograd, are on the CPU."""

    @staticmethod
    def __new__(cls, inner, requires_grad=False):
        made = torch.Tensor._make_subclass(cls, inner.detach(), requires_grad, device_for_backend_keys=CUDA)
        made.inner = inner
        return made

    def __repr__(self):
        return f"Cuda({self.inner!r})"

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _ATTRIBUTES:
            return _ATTRIBUTES[func]
        if torch.is_autocast_enabled("cuda"):
            with torch._C.DisableTorchFunctionSubclass():
                args, kwargs = _autocast(func, args, kwargs)
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is torch.Tensor.numpy:
            raise DeviceError("can't convert cuda:0 device type tensor to numpy")
        if func in (torch.Tensor.tolist, torch.Tensor.cpu):
            sync("copy to the host")
            return args[0].inner.tolist() if func is torch.Tensor.tolist else args[0].inner.detach().clone()
        if func is torch.Tensor.pin_memory:
            raise DeviceError("cannot pin a tensor of the device")
        if func is torch.Tensor.to:
            moved = _moved(args, kwargs)
            if moved is not None:
                return moved
        return super().__torch_function__(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


_ATTRIBUTES = {
    torch.Tensor.device.__get__: CUDA,
    torch.Tensor.is_cuda.__get__: True,
    torch.Tensor.is_cpu.__get__: False,
}


def _moved(args, kwargs):
    """The result of ``Tensor.to`` with a device; ``None`` leaves the call to PyTorch."""
    tensor, *rest = args
    wanted = kwargs.get("device", rest[0] if rest else None)
    if isinstance(wanted, Cuda) and not isinstance(tensor, Cuda):
        return tensor.to(device=CUDA, dtype=wanted.dtype)
    if isinstance(wanted, torch.Tensor):
        wanted = wanted.device
    if not isinstance(wanted, (str, torch.device)) or not isinstance(tensor, Cuda):
        return None
    if torch.device(wanted).type == "cpu":
        sync("copy to the host")
        return tensor.inner.detach().clone()
    dtype = kwargs.get("dtype") or next((one for one in rest[1:] if isinstance(one, torch.dtype)), None)
    return tensor if dtype is None else tensor.to(dtype)


def _map(function, value):
    """Apply a function to all in arguments of an operation: nested tuples, lists and dictionaries."""
    if isinstance(value, dict):
        return {key: _map(function, one) for key, one in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_map(function, one) for one in value)
    return function(value)


def _tensors(*values):
    """All tensors in arguments of an operation."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif type(value) in (tuple, list):
            yield from _tensors(*value)
        elif isinstance(value, dict):
            yield from _tensors(*value.values())


def _plain(value):
    return value.inner if isinstance(value, Cuda) else value


def _wrapped(value):
    return Cuda(value) if isinstance(value, torch.Tensor) and not isinstance(value, Cuda) else value


def _autocast(func, args, kwargs):
    """Cast as autocast does on CUDA; PyTorch's own looks at the device of the storage, which is the CPU."""
    name = getattr(func, "__name__", "")
    if name not in LOW | HIGH:
        return args, kwargs
    to = torch.get_autocast_dtype("cuda") if name in LOW else torch.float32

    def cast(x):
        fits = isinstance(x, Cuda) and x.is_floating_point() and x.dtype not in (to, torch.float64)
        return x.to(to) if fits else x

    return _map(cast, args), _map(cast, kwargs)


def _attention(q, k, v, attn_mask=None, **_):
    if attn_mask is not None and attn_mask.device != q.device:
        raise DeviceError("the attention mask is on another device")
    scores = (q.float() @ k.float().transpose(-1, -2)) * q.shape[-1] ** -0.5
    if attn_mask is not None and attn_mask.dtype not in (torch.bool, q.dtype):
        raise DeviceError("the attention mask has another type than the queries")
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask.float()
    return (scores.softmax(-1) @ v.float()).to(q.dtype)


def dispatch(func, args, kwargs):
    """Compute one operation on the data, after checking what CUDA would check."""
    tensors = list(_tensors(args, kwargs))
    here = [x for x in tensors if isinstance(x, Cuda)]
    there = [x for x in tensors if not isinstance(x, Cuda)]
    name = func._schema.name.split("::")[1]
    device = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if name == "_to_copy":
        return _to_copy(func, args, kwargs, device)
    if name == "copy_":
        return _copy(func, args, kwargs)
    if not here and (device is None or device.type != "cuda"):
        return func(*args, **kwargs)
    if name == "_local_scalar_dense":
        sync("item")
        return func(here[0].inner)
    _check(func, name, args, here, there)
    _count(name, args, there)
    return _computed(func, name, args, kwargs, device, bool(here))


def _computed(func, name, args, kwargs, device, here):
    inner = dict(kwargs)
    if device is not None and device.type == "cuda":
        inner["device"] = torch.device("cpu")
    if inner.get("pin_memory"):
        inner["pin_memory"] = False
    out = _map(_wrapped, func(*_map(_plain, args), **_map(_plain, inner)))
    if not here:
        return out
    if any(x.layout is not torch.strided for x in _tensors(args, kwargs, out)):
        return args[0] if name.endswith("_") and not name.startswith("_") else out
    return return_and_correct_aliasing(func, args, kwargs, out)


def _check(func, name, args, here, there):
    """Refuse tensors of both devices in one operation, and what CUDA does not implement."""
    if name in PRODUCTS and here and not here[0].is_floating_point():
        raise DeviceError(f"{name} of {here[0].dtype} is not implemented on CUDA, at {where()}")
    if not here or not there:
        return
    if name in INDEXING:
        values = args[2] if len(args) > 2 else None
        if not isinstance(args[0], Cuda) or (
            isinstance(values, torch.Tensor) and not isinstance(values, Cuda) and values.dim()
        ):
            raise DeviceError(f"{name} with tensors of two devices at {where()}")
        return
    # The engine makes an empty sparse gradient on the device of the storage: a matter of the pretence.
    there = [x for x in there if not (x.layout is torch.sparse_coo and x._nnz() == 0)]
    scalars_fit = torch.Tag.pointwise in func.tags or name in ("where", "masked_fill", "masked_fill_", "lerp")
    if any(x.dim() for x in there) or (there and not scalars_fit):
        shapes = [tuple(x.shape) for x in there]
        raise DeviceError(f"{func}: found cuda:0 and cpu, the latter of shapes {shapes}, at {where()}")


def _count(name, args, there):
    """Count an operation for which the host waits for the device."""
    if name in DATA_DEPENDENT:
        sync(name)
    # A backward pass written in C++ makes its zeros on the device of the storage: a matter of the pretence.
    if name == "where" and there and torch._C._current_graph_task_id() == -1:
        sync("where with a number, which is copied from pageable memory")
    if name in INDEXING:
        for index in args[1]:
            if isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8):
                sync("boolean index")
            if isinstance(index, torch.Tensor) and not isinstance(index, Cuda) and index.dim():
                sync("index on the host")


def _to_copy(func, args, kwargs, device):
    (x,) = args[:1]
    if not isinstance(x, Cuda) and (device is None or device.type != "cuda"):
        return func(*args, **kwargs)
    rest = {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking", "pin_memory")}
    if isinstance(x, Cuda):  # a copy to the host is caught in __torch_function__; the engine's casts name the CPU
        return Cuda(func(x.inner, **rest))
    if not (kwargs.get("non_blocking") and getattr(x, "pretended_pinned", False)):
        sync("copy from pageable memory")
    return Cuda(func(x, **rest))


def _copy(func, args, kwargs):
    to, source = args[:2]
    if isinstance(to, Cuda) != isinstance(source, Cuda):
        sync("copy to the host" if isinstance(source, Cuda) else "copy from pageable memory")
    if not isinstance(to, Cuda) and not isinstance(source, Cuda):
        return func(*args, **kwargs)
    (to.inner if isinstance(to, Cuda) else to).copy_(source.inner if isinstance(source, Cuda) else source)
    return to


class Mode(TorchDispatchMode):
    """Sends operations that make a tensor on ``cuda`` from none to :func:`dispatch` too."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})
