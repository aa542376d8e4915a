"""`python -m flows` is `imagen`, for environments whose programs are not on the PATH."""

from __future__ import annotations

from flows.start import main

main()
