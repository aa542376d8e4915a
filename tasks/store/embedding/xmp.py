"""The XMP packet of an image file, as far as it says how the image came to be.

Image libraries, search engines and social networks read the property `DigitalSourceType` of the IPTC's extension
schema (IPTC Photo Metadata Standard 2025.1; its values: cv.iptc.org/newscodes/digitalsourcetype, read 2026-11).
"""

from __future__ import annotations

import re

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
"""Made by a model from a text."""
EDITED = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""Made by a model from another image."""

_OF_MODELS = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"})
# Attribute, text of an element, or address of a resource: XMP allows all three.
_PROPERTY = re.compile(rb"""(:DigitalSourceType(?:\s+rdf:resource)?(?:\s*=\s*["']|\s*>)\s*)([^<>"'\s]{0,200})""")
_END = b"</rdf:RDF>"
_DESCRIPTION = (
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' Iptc4xmpExt:DigitalSourceType="{}"/>'
)
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def build_packet(source_type: str) -> bytes:
    """A packet that says nothing else."""
    return _PACKET.format(_DESCRIPTION.format(source_type)).encode()


def mark_packet(packet: bytes, source_type: str) -> bytes | None:
    """A file's own packet with the source type in it; None where it cannot be changed, as in UTF-16."""
    if names_model(packet):
        return packet
    if found := _PROPERTY.search(packet):
        # Taken over from the image that the model began with, where it was true.
        return packet[: found.start(2)] + source_type.encode() + packet[found.end(2) :]
    end = packet.rfind(_END)
    return None if end < 0 else packet[:end] + _DESCRIPTION.format(source_type).encode() + packet[end:]


def names_model(packet: bytes) -> bool:
    """True if the packet says that a model made the image, or a part of it."""
    return any(
        found[2].rpartition(b"/")[2].decode("ascii", "replace") in _OF_MODELS for found in _PROPERTY.finditer(packet)
    )


def read_source_type(packet: bytes) -> str | None:
    """`GENERATED` or `EDITED` as the packet has it; None where it names no model."""
    if not names_model(packet):
        return None
    return EDITED if EDITED.rpartition("/")[2].encode() in packet else GENERATED
