"""The device of this machine: which one is used, for what, in what precision, and when its memory is full."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

from tasks.backends.diffusers_local.model import ModelReference
from tasks.backends.diffusers_local.quantizing import COMPILED, UNQUANTIZED, can_compile
from tasks.core.errors import ConfigError

_NO_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """The weights to load, and the device; equal specs share one loaded pipeline."""

    model: ModelReference
    device: str
    dtype: str
    offload: str
    quantize: str = UNQUANTIZED


def choose_device(spec: PipelineSpec) -> str:
    """The device to use, as torch calls it.

    Raises:
        ConfigError: This machine does not have it, or it does not go with what is asked for besides.
    """
    import torch

    gpus, apple = torch.cuda.device_count(), torch.backends.mps.is_available()
    device = spec.device
    if device == "auto":
        device = "cuda" if gpus else "mps" if apple else "cpu"
    number = int(device.partition(":")[2] or 0)
    if (device.startswith("cuda") and number >= gpus) or (device == "mps" and not apple):
        raise ConfigError(f"device: there is no {device} here (torch {torch.__version__} sees {gpus} CUDA devices)")
    if spec.offload == "sequential" and spec.quantize != UNQUANTIZED:
        # Its hooks replace weights one by one, which quantised ones do not survive (optimum-quanto 0.2.7).
        raise ConfigError(f"quantize: {spec.quantize} does not go with offload: sequential; use offload: model")
    if device.startswith("cuda") and spec.quantize in COMPILED and not can_compile():
        raise ConfigError(
            f"quantize: {spec.quantize} needs nvcc (of the CUDA toolkit) and ninja here, for optimum-quanto compiles "
            "GPU code; quantize: int8 needs neither"
        )
    if device == "cpu" and spec.offload != "none":
        raise ConfigError(f"offload: {spec.offload} needs a GPU; the device is the cpu")
    return device


def choose_dtype(name: str, device: str) -> Any:
    """The precision of the weights, as torch calls it; `auto` is the one that suits the device."""
    import torch

    if name == "auto":
        older_gpu = device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False)
        name = "float32" if device == "cpu" else "float16" if older_gpu else "bfloat16"
    return getattr(torch, name)


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory ran out, on whatever device."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # mps, the CPU's allocator, and cuBLAS and cuDNN, which allocate by themselves, have no type of their own (torch 2.13).
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """True if the device failed in a way that spoils it for the rest of the process."""
    import torch

    return isinstance(error, torch.AcceleratorError)


def free_memory() -> None:
    """Give what nobody holds any more back to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
