"""The backend `openai` in the mode that its settings name."""

from __future__ import annotations

from tasks.backends.base import BackendContext, read_options
from tasks.backends.openai.backend import OpenAIBackend
from tasks.backends.openai.batch_backend import OpenAIBatchBackend
from tasks.backends.openai.options import OpenAIOptions


def open_backend(context: BackendContext) -> OpenAIBackend:
    """The instance; nothing is asked of the network.

    Raises:
        ConfigError: A setting cannot be used.
    """
    options = read_options(context, OpenAIOptions)
    return (OpenAIBatchBackend if options.mode == "batch" else OpenAIBackend)(context, options)
