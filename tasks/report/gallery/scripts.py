"""Values inside scripts: JSON that no text, however hostile, can leave."""

from __future__ import annotations

import json
from typing import Any


def script_json(value: Any) -> str:
    """The value as JSON that may stand in an HTML `<script>` and in JavaScript.

    Everything beyond ASCII is escaped (U+2028 ends a line in old JavaScript, lone surrogates cannot be written), and
    so is `<`, without which neither `</script>` nor `<!--` can be spelled.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
