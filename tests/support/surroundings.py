"""What belongs to the developer, not to the tests."""

from __future__ import annotations

PERSONAL_PREFIXES = (
    *("PREFECT_", "XDG_", "MAI_", "TMUX", "PG", "SUPABASE_", "IMAGEN_USAGE_", "HF_", "HUGGING"),
    *("REPLICATE_", "OPENAI_", "FAL_"),
    *("AWS_", "AZURE_", "GOOGLE_"),
)
"""Prefixes of environment variables that no test sees, unless it sets them itself."""
NO_TELEMETRY = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Variables that every test sets."""
