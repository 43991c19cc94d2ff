"""A GPU for machines without one: its tensors lie in the CPU's memory, and do not mix with others.

`start()` makes it the device that `best_device` finds, for the rest of the process.
"""

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
aten = torch.ops.aten
MOVES = (aten.copy_.default, aten._to_copy.default)
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default)


class GPUTensor(torch.Tensor):
    """A tensor that says it is on the GPU; `cpu_side` is the memory that both are."""

    def __new__(cls, cpu_side):
        options = {"dispatch_device": True, "device_for_backend_keys": torch.device(NAME)}
        self = torch.Tensor._make_subclass(cls, cpu_side, False, **options)
        self.cpu_side = cpu_side
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.prim.device.default:
            return torch.device(NAME, 0)
        return computed(function, args, kwargs or {})

    def numpy(self, *_, **__):
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu()")

    __array__ = numpy

    def tolist(self):
        return self.cpu().tolist()

    def __repr__(self, **_):
        return f"{self.cpu_side!r} on {NAME}"

    def __format__(self, how):
        return format(self.cpu(), how)

    def __deepcopy__(self, memo):
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        return memo.setdefault(id(self), copy)

    def __reduce_ex__(self, protocol):
        return self.cpu_side.__reduce_ex__(protocol)


def computed(function, args, kwargs):
    """Compute on the CPU what a GPU would compute, and raise what it would raise."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    others = [x for x in tensors if not isinstance(x, GPUTensor) and x.dim()]
    if function in INDEXING and isinstance(args[0], GPUTensor):
        others = []  # row numbers may lie on the CPU
    if others and function not in MOVES:
        where = f"at least two devices, {NAME}:0 and cpu! ({function})"
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {where}")
    _same_generator(kwargs)
    device = torch.device(kwargs.get("device") or NAME)
    if "device" in kwargs:
        kwargs = kwargs | {"device": "cpu"}
    if function is aten.copy_.default and not isinstance(args[0], GPUTensor):
        device = torch.device("cpu")
    known = {id(x.cpu_side): x for x in tensors if isinstance(x, GPUTensor)}
    args, kwargs = tree_map(lambda x: getattr(x, "cpu_side", x), (args, kwargs))
    results = function(*args, **kwargs)
    if device.type == "cpu":
        return results

    def there(x):  # what was changed in place is still itself
        return known[id(x)] if id(x) in known else GPUTensor(x)

    return tree_map(lambda x: there(x) if isinstance(x, torch.Tensor) else x, results)


def _same_generator(options):
    if options.get("generator") is not None:
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")


def _moved(make):
    """Return a function that makes a tensor; one for the GPU is made here and moved."""

    def made(*args, device=None, **options):
        if device is None or torch.device(device).type != NAME:
            return make(*args, device=device, **options)
        _same_generator(options)
        return make(*args, **options).to(device)

    return made


class _Module(backend_registration._DummyBackendModule):
    """What torch.cuda is for an NVIDIA GPU."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        torch.set_rng_state(state)


def start():
    """Add the device. It cannot be taken away again."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    library = torch.library.Library("_", "IMPL")  # what makes a tensor has none to ask
    library.fallback(lambda op, *args, **kwargs: computed(op, args, kwargs), "PrivateUse1")
    for name in ("tensor", "as_tensor", "arange", "randperm", "rand", "randn", "randint", "full"):
        setattr(torch, name, _moved(getattr(torch, name)))  # their own way asks for more kernels
    torch.__future__.set_swap_module_params_on_conversion(True)
    return library  # it counts as long as somebody holds it
