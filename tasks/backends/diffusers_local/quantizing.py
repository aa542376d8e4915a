"""Weights in fewer bits: what makes a large model fit a small GPU, for slightly other images.

Only the parts that hold nearly all of the memory: the denoiser, and the large text encoders. The decoder, in which a lost bit
would be seen, keeps its precision.
"""

from __future__ import annotations

from typing import Any

UNQUANTIZED = "none"
COMPILED = ("float8", "int4")
"""Formats for which optimum-quanto 0.2.7 compiles its own GPU code, when the weights arrive there."""
PARTS = ("transformer", "unet", "text_encoder_2", "text_encoder_3")
"""Names of the parts in FLUX, Stable Diffusion 3 and their kin; a pipeline has some of these."""


def can_compile() -> bool:
    """True if this machine can build GPU code: with a compiler of the GPU's maker, and ninja."""
    from torch.utils import cpp_extension

    compiler = cpp_extension.CUDA_HOME or cpp_extension.ROCM_HOME
    return compiler is not None and cpp_extension.is_ninja_available()


def quantize(pipe: Any, bits: str) -> list[str]:
    """Put the weights of the large parts into `int8`, `float8` or `int4`, in main memory; activations stay as they are.

    Returns:
        The names of the parts, for a pipeline has not all of them.
    """
    from optimum import quanto

    weights = {"int8": quanto.qint8, "float8": quanto.qfloat8, "int4": quanto.qint4}[bits]
    present = [name for name in PARTS if getattr(pipe, name, None) is not None]
    for name in present:
        part = getattr(pipe, name)
        # Frozen weights are the quantised ones only; without it both copies stay in memory.
        quanto.quantize(part, weights=weights)
        quanto.freeze(part)
    return present
