"""Content Credentials (C2PA): a signed manifest in the image's file that says how it came to be.

Takes the bytes of a file and the user's certificate, gives the signed file. The work is done by the library of the
Content Authenticity Initiative, the extra `c2pa`; no address is asked for anything.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tasks.core.configuration.sections import SigningSettings
from tasks.core.errors import BatchStopped, ConfigError
from tasks.core.installation import get_version, install_command
from tasks.store.embedding.embed import is_signed
from tasks.store.embedding.xmp import GENERATED
from tasks.store.encode import encode

MOST_PEM_BYTES = 1_000_000
# Thumbnails of the library's own would double the size of a file, and cost 0.3 s (measured at 1024x1024, 2026-11).
_OFFLINE = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
}
_PARENT = "parent"


def check_signing(signing: SigningSettings) -> None:
    """Sign a pixel, so that a wrong certificate is told before an image is paid for.

    Raises:
        ConfigError: The library is missing, or the certificate and key cannot be used. Nothing was spent.
    """
    if find_spec("c2pa") is None:
        raise ConfigError(
            f"output.provenance: c2pa needs the package c2pa-python; install it with: {install_command('c2pa')}"
        )
    pixel = encode(Image.new("RGB", (1, 1)), format="png", quality=100)
    try:
        sign(pixel, "png", signing, model="", source_type=GENERATED)
    except BatchStopped as exc:
        raise ConfigError(exc.why) from None


def sign(data: bytes, form: str, signing: SigningSettings, *, model: str, source_type: str | None) -> bytes:
    """The file with a manifest of its creation; one that is signed already stays as it is.

    Args:
        data: The file.
        form: Its format, such as `png`.
        signing: The certificate.
        model: The model that made it.
        source_type: As `tasks.store.embedding.xmp` names it.

    Raises:
        BatchStopped: The certificate or key cannot be used (`signing`). The image can be fetched again.
    """
    if is_signed(data):
        return data
    action = {"action": "c2pa.created", "digitalSourceType": source_type or GENERATED}
    if model:
        action["softwareAgent"] = {"name": model}  # type: ignore[assignment]  # JSON
    return _sign(data, form, signing, [action], parent=None)


def sign_edit(data: bytes, form: str, signing: SigningSettings, parent: tuple[bytes, str], actions: list[str]) -> bytes:
    """The file with a manifest that names what was done to another signed file, and holds that file's manifest.

    Args:
        data: The new file.
        form: Its format.
        signing: The certificate.
        parent: The signed file that it was made of, and its format.
        actions: The changes, such as `c2pa.resized`.

    Raises:
        BatchStopped: The certificate or key cannot be used (`signing`).
    """
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PARENT]}}
    return _sign(data, form, signing, [opened, *({"action": action} for action in actions)], parent=parent)


def _sign(
    data: bytes,
    form: str,
    signing: SigningSettings,
    actions: list[dict[str, Any]],
    *,
    parent: tuple[bytes, str] | None,
) -> bytes:
    import c2pa  # noqa: PLC0415  an extra, and 23 MB of library

    manifest = {
        "claim_generator_info": [{"name": "imagen", "version": get_version()}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    signed = BytesIO()
    try:
        facts = c2pa.C2paSignerInfo(
            alg=c2pa.C2paSigningAlg[signing.algorithm.upper()],
            sign_cert=_read_pem(signing.certificate_env, "certificate_env"),
            private_key=_read_pem(signing.key_env, "key_env"),
            ta_url=None,
        )
        # Anew for each image: it costs little, and threads share nothing.
        with (
            c2pa.Context.from_dict(_OFFLINE) as context,
            c2pa.Signer.from_info(facts) as signer,
            c2pa.Builder(manifest, context=context) as builder,
        ):
            if parent is not None:
                ingredient = {"relationship": "parentOf", "instance_id": _PARENT, "label": _PARENT}
                builder.add_ingredient(ingredient, f"image/{parent[1]}", BytesIO(parent[0]))
            builder.sign(signer, f"image/{form}", BytesIO(data), signed)
    except c2pa.C2paError as exc:
        raise _build_stop(f"output.c2pa: the certificate or key cannot be used ({exc})") from None
    return signed.getvalue()


def _read_pem(variable: str, setting: str) -> bytes:
    """The PEM text that a variable holds, or the file that it names."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise _build_stop(f"output.c2pa.{setting}: the environment variable {variable} is not set")
    if value.startswith("-----BEGIN"):
        return value.encode()
    try:
        with Path(value).expanduser().open("rb") as file:
            text = file.read(MOST_PEM_BYTES)
    except (OSError, ValueError, RuntimeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a path"
        # The value itself may be a key that was pasted wrongly, so it is not repeated.
        raise _build_stop(f"output.c2pa.{setting}: the file that {variable} names cannot be read ({reason})") from None
    if b"-----BEGIN" not in text:
        raise _build_stop(f"output.c2pa.{setting}: the file that {variable} names holds no PEM text")
    return text


def _build_stop(why: str) -> BatchStopped:
    return BatchStopped("signing", f"{why}; correct output.c2pa or the variable, then resume the batch", why=why)
