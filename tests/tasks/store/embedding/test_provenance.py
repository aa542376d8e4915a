"""An image file says that a model made it, where readers of the IPTC's property look for it."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tasks.core.configuration.sections import OutputSettings
from tasks.core.records import ReferenceImage
from tasks.store.chunks import iterate_chunks
from tasks.store.embedding.embed import embed, find_provenance, find_source_type
from tasks.store.embedding.notes import Notes, build_notes
from tasks.store.embedding.xmp import EDITED, GENERATED
from tests.support.factories import make_job
from tests.tasks.store.embedding.test_parameters import FILES, PARAMETERS, SIGNED, pixels, saved

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
CAMERA = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
OWN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="the backend"{}</rdf:RDF></x:xmpmeta>'
)
FORMS = {
    "attribute": ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType="{}"/>',
    "element": ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><e:DigitalSourceType>{}</e:DigitalSourceType>'
    "</rdf:Description>",
    "resource": ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><e:DigitalSourceType rdf:resource="{}"/>'
    "</rdf:Description>",
}
JOB = make_job(1)


def with_packet(name: str, packet: str) -> bytes:
    """A file with an XMP packet of its backend."""
    image, form = Image.new("RGB", (40, 30)), name.upper()
    if name == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet)
        return saved(image, form, pnginfo=texts)
    return saved(image, form, xmp=packet.encode())


def list_source_types(data: bytes) -> list[str]:
    """Every source type that an XML parser finds in the file's packet, as Pillow reads it from the file."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415  the tests' own packets only

    with Image.open(BytesIO(data)) as image:
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet is None:
        return []
    text = packet.decode() if isinstance(packet, bytes) else packet
    found: list[str] = []
    for node in ET.fromstring(text).iter():  # noqa: S314  as above
        found += [value for name, value in node.attrib.items() if name == IPTC]
        if node.tag == IPTC:
            found.append(node.text or next(iter(node.attrib.values())))
    return found


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_every_file_says_that_a_model_made_it(data: bytes) -> None:
    """The property is in the packet once, beside the parameters, and no pixel changes."""
    marked = embed(data, Notes(PARAMETERS, GENERATED))
    foreign = b"<x:xmpmeta/>" in data  # a packet without the part that properties stand in
    assert foreign or list_source_types(marked) == [GENERATED]
    assert find_provenance(marked) == (None if foreign else "iptc")
    assert pixels(marked) == pixels(data)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_packet_of_the_backend_stays(name: str) -> None:
    """The backend's own properties stay, and ours is added to its packet: a file has one."""
    data = with_packet(name, OWN.format("/>"))
    marked = embed(data, Notes(None, GENERATED))
    assert list_source_types(marked) == [GENERATED]
    assert b"the backend" in marked
    assert marked.count(b"<x:xmpmeta") == 1
    assert pixels(marked) == pixels(data)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_source_type_of_a_camera_is_replaced(name: str, form: str) -> None:
    """A model that hands on the packet of its input does not pass its image off as a photo."""
    marked = embed(with_packet(name, OWN.format(form.format(CAMERA))), Notes(None, EDITED))
    assert list_source_types(marked) == [EDITED]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_source_type_of_a_model_is_kept(form: str) -> None:
    """What the provider says about its own image is not made less exact."""
    data = with_packet("png", OWN.format(form.format(EDITED)))
    assert find_source_type(embed(data, Notes(None, GENERATED))) == EDITED


COMPRESSED = PngImagePlugin.PngInfo()
COMPRESSED.add_itxt("XML:com.adobe.xmp", OWN.format("/>"), zip=True)
UNREADABLE = {
    "png": saved(Image.new("RGB", (9, 9)), "png", pnginfo=COMPRESSED),
    "jpeg": saved(Image.new("RGB", (9, 9)), "jpeg", xmp=OWN.format("/>").encode("utf-16")),
    "webp": saved(Image.new("RGB", (9, 9)), "webp", xmp=OWN.format("/>").encode("utf-16")),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_packet_that_cannot_be_changed_stays(data: bytes) -> None:
    """A packet that is compressed or in UTF-16 is left as it is, and the file is not said to be marked."""
    assert embed(data, Notes(None, GENERATED)) == data
    assert find_provenance(data) is None


@pytest.mark.parametrize("data", SIGNED.values(), ids=SIGNED.keys())
def test_a_signed_file_keeps_its_manifest(data: bytes) -> None:
    """A provider's signature says how the image came to be, and no byte changes."""
    assert embed(data, Notes(PARAMETERS, GENERATED)) == data
    assert find_provenance(data) == "c2pa"


@pytest.mark.parametrize("form", ["GIF", "AVIF"])
def test_formats_without_a_place_say_nothing(form: str) -> None:
    """The record never claims more than the file says."""
    data = saved(Image.new("RGB", (9, 9)), form)
    assert find_provenance(embed(data, Notes(None, GENERATED))) is None


@pytest.mark.parametrize(
    ("settings", "job", "expected"),
    [
        ({}, JOB, GENERATED),
        ({}, dataclasses.replace(JOB, image=ReferenceImage("fox.png", "ab" * 32)), EDITED),
        ({"provenance": "c2pa"}, JOB, GENERATED),
        ({"provenance": "none"}, JOB, None),
    ],
)
def test_the_source_type_follows_the_job(settings: dict[str, Any], job: Any, expected: str | None) -> None:
    """An image that was made from another one is called so; a user can leave the mark out."""
    assert build_notes(job, OutputSettings(**settings)).source_type == expected


@given(
    name=st.sampled_from(["png", "jpeg", "webp"]),
    packet=st.text(st.characters(codec="utf-8"), min_size=1, max_size=300),
)
def test_any_packet_leaves_a_whole_file(name: str, packet: str) -> None:
    """Whatever a packet holds, the file has the same pixels and whole chunks."""
    data = with_packet(name, packet.replace("\0", " ") + "</rdf:RDF>")
    marked = embed(data, Notes(PARAMETERS, GENERATED))
    assert pixels(marked) == pixels(data)
    assert list(iterate_chunks(marked))


def test_a_plain_webp_of_two_images_stays_as_it_came() -> None:
    """A viewer shows the first one; behind a description the second would make the file unreadable."""
    data = saved(Image.new("RGB", (9, 9), "red"), "WEBP")
    twice = data[:4] + (2 * len(data) - 20).to_bytes(4, "little") + data[8:] + data[12:]
    assert embed(twice, Notes(PARAMETERS, GENERATED)) == twice
