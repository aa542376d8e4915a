"""A place in a bucket, against servers that speak S3's protocol."""

from __future__ import annotations

import shutil
from pathlib import Path

import obstore
import pytest

from tasks.core.errors import BatchStopped, InputError, OutputError
from tasks.core.paths import POINTER_NAME, get_ledger_path
from tasks.store.output.base import NewFile
from tasks.store.output.bucket import OutputBucket
from tasks.store.output.bucket_url import parse_bucket_url
from tasks.store.output.folder import OutputFolder
from tests.support.services.object_storage import BUCKET, SECRET_KEY, ObjectStorage

MB = 2**20


def bucket(prefix: str, name: str = BUCKET, scheme: str = "s3") -> OutputBucket:
    """The place at this prefix."""
    url = parse_bucket_url(f"{scheme}://{name}/{prefix}")
    assert url is not None
    return OutputBucket(url)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.store.output.bucket.PATIENCE_S", 1.0)


def begin(place: OutputBucket) -> OutputBucket:
    """What a run does before it spends anything: a ledger here, and the claim to it there."""
    place.home.mkdir(parents=True, exist_ok=True)
    get_ledger_path(place.home).touch()
    place.claim(first=True)
    return place


def another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on this user's state is elsewhere, as on a machine that has never seen the batch."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))


def test_a_check_leaves_nothing(rclone: ObjectStorage, prefix: str) -> None:
    """It writes and removes: a run that is refused later has not touched the bucket."""
    bucket(prefix).check()
    assert rclone.files(prefix) == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another-secret"}, "are not accepted (SignatureDoesNotMatch)"),
        ({"AWS_ACCESS_KEY_ID": "another-key"}, "are not accepted (InvalidAccessKeyId)"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"AWS_ENDPOINT_URL": "http://storage.invalid"}, "plain http to storage.invalid"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:9000"}, "is not the address of a service"),
        ({"AWS_ENDPOINT_URL": "http://user:password@127.0.0.1"}, "is not the address of a service"),
    ],
)
@pytest.mark.usefixtures("rclone")
def test_what_is_set_up_wrong_is_said_before_anything_is_spent(
    prefix: str, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], said: str
) -> None:
    """One line that names the place or the variable and what to do; exit status 2, and no key in it."""
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        bucket(prefix).check()
    text = str(caught.value)
    assert said in text
    assert "\n" not in text
    assert not [secret for secret in (SECRET_KEY, "another-secret", "password") if secret in text]


@pytest.mark.parametrize("server", ["rclone", "moto"])
def test_a_missing_bucket_is_named(server: str, request: pytest.FixtureRequest) -> None:
    """It is not made: who pays for it, where and for how long is not ours to choose."""
    request.getfixturevalue(server)
    with pytest.raises(OutputError, match="there is no bucket 'absent'"):
        bucket("x", "absent").check()


def test_azure_without_an_account_says_what_to_set() -> None:
    """The same code serves `az://`; its client asks for the account's name first."""
    with pytest.raises(InputError, match=r"az://box/x: there are no credentials: set AZURE_STORAGE_ACCOUNT_NAME"):
        bucket("x", "box", "az").check()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("images/ab/fox.png", "image/png"),
        ("images/ab/fox.jpg", "image/jpeg"),
        ("images/ab/fox.webp", "image/webp"),
        ("images/ab/fox.avif", "image/avif"),
        ("summary.json", "application/json"),
        ("index.html", "text/html; charset=utf-8"),
        ("gallery/rows/0001-ab.js", "text/javascript; charset=utf-8"),
        ("gallery/plots/cost-dark.svg", "image/svg+xml"),
        ("README.md", "text/markdown; charset=utf-8"),
    ],
)
@pytest.mark.usefixtures("moto")
async def test_an_object_has_its_bytes_and_its_type(prefix: str, name: str, content_type: str) -> None:
    """A browser shows it, an older one is replaced, and a process that knows no more than the URL can do it."""
    place = bucket(prefix)
    for data in (b"old", b"new"):
        await place.write(lambda data=data: NewFile(name, data))  # type: ignore[misc]
    got = obstore.get(place._patient, f"{prefix}/{name}")
    assert (bytes(got.bytes()), got.attributes["Content-Type"]) == (b"new", content_type)
    assert place.read(name) == b"new"
    assert place.read("images/ab/wolf.png") is None
    assert not place.home.exists()


async def test_a_large_file_goes_in_parts_and_replaces_the_old_one_whole(rclone: ObjectStorage, prefix: str) -> None:
    """While it is being made or sent, and when its making fails, the old one is there."""
    place = bucket(prefix)
    await place.write(lambda: NewFile("metadata.parquet", b"old"))

    async def replace(*, broken: bool) -> None:
        async with place.replacing("metadata.parquet") as path:
            path.write_bytes(b"new" * 4 * MB)
            if broken:
                raise RuntimeError
            assert place.read("metadata.parquet") == b"old"

    with pytest.raises(RuntimeError):
        await replace(broken=True)
    assert place.read("metadata.parquet") == b"old"
    await replace(broken=False)
    assert rclone.files(prefix)["metadata.parquet"].read_bytes() == b"new" * 4 * MB
    assert list(place.home.iterdir()) == []


async def test_a_storage_that_goes_away_stops_the_batch(rclone: ObjectStorage, prefix: str) -> None:
    """Resumable, with the place and what to do; when it is back it is used again."""
    place = bucket(prefix)
    place.check()
    rclone.kill()
    with pytest.raises(
        BatchStopped, match=rf"{place}: the storage cannot be reached .*imagen resume {place}`"
    ) as caught:
        await place.write(lambda: NewFile("a.png", b"1"))
    assert caught.value.reason == "storage"
    rclone.start()
    await place.write(lambda: NewFile("a.png", b"1"))
    assert set(rclone.files(prefix)) == {"a.png"}


@pytest.mark.usefixtures("moto")
def test_a_batch_belongs_to_the_machine_that_began_it(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may go on there; another machine is told where, and to use PostgreSQL, in one sentence."""
    home = begin(bucket(prefix)).home
    bucket(prefix).check()
    bucket(prefix).claim(first=False)
    another_machine(monkeypatch, tmp_path)
    for refused in (bucket(prefix).check, bucket(prefix).ledger_folder, lambda: begin(bucket(prefix))):
        with pytest.raises(OutputError, match=rf"ledger is on \S+ in {home}: go on there.*PostgreSQL"):
            refused()


@pytest.mark.usefixtures("moto")
def test_of_two_machines_that_begin_at_once_one_goes_on(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that the batch is nobody's; what is created on condition is created once, and the late one knows."""
    begin(bucket(prefix))
    another_machine(monkeypatch, tmp_path)
    first_look, read = iter([None]), OutputBucket.read
    with monkeypatch.context() as patched:
        patched.setattr(OutputBucket, "read", lambda place, name: next(first_look, read(place, name)))
        with pytest.raises(OutputError, match="ledger is on"):
            begin(bucket(prefix))
    with pytest.raises(OutputError, match="ledger is on"):
        bucket(prefix).ledger_folder()


@pytest.mark.usefixtures("rclone")
def test_a_server_without_conditions_keeps_the_last_claim(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the user has said that there are none, a claim is written, read again, and holds against later ones."""
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    begin(bucket(prefix))
    another_machine(monkeypatch, tmp_path)
    with pytest.raises(OutputError, match="ledger is on"):
        begin(bucket(prefix))


@pytest.mark.usefixtures("rclone")
def test_a_bucket_that_was_emptied_is_not_taken_for_done(prefix: str) -> None:
    """The ledger says that the pictures are there, and they are not: said at once, with the folder to remove."""
    place = begin(bucket(prefix))
    obstore.delete(place._patient, f"{prefix}/{POINTER_NAME}")
    with pytest.raises(OutputError, match=rf"has no {POINTER_NAME} any more.*\({place.home}\)"):
        place.claim(first=False)


@pytest.mark.usefixtures("rclone")
@pytest.mark.parametrize("lost", ["the folder", "the ledger"])
def test_a_ledger_that_is_gone_is_not_begun_anew(prefix: str, lost: str) -> None:
    """Its pictures may have been paid for: only the user may say that they are paid for again."""
    place = begin(bucket(prefix))
    if lost == "the folder":
        shutil.rmtree(place.home)
    else:
        get_ledger_path(place.home).unlink()
    with pytest.raises(OutputError, match="is gone: bring it back"):
        place.check()


@pytest.mark.usefixtures("rclone")
@pytest.mark.parametrize("text", [b"", b"not JSON", b"[1]", b'{"host": 5}'])
def test_a_claim_of_something_else_is_respected(prefix: str, text: bytes) -> None:
    """An object of that name that we cannot read may be a newer version's: nothing is begun over it."""
    place = bucket(prefix)
    obstore.put(place._patient, f"{prefix}/{POINTER_NAME}", text)
    with pytest.raises(OutputError, match="ledger is on"):
        place.check()


@pytest.mark.usefixtures("moto")
def test_a_way_to_a_database_is_followed_from_every_machine(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first has left in its folder gets into the bucket, and from there to where another looks for a ledger."""
    pointer = b'{"url": "postgresql+asyncpg://host/database", "schema": "imagen_foxes"}'
    first = bucket(prefix)
    first.home.mkdir(parents=True)
    (first.home / POINTER_NAME).write_bytes(pointer)
    first.claim(first=True)
    another_machine(monkeypatch, tmp_path)
    second = bucket(prefix)
    assert (second.ledger_folder() / POINTER_NAME).read_bytes() == pointer
    second.check()
    second.claim(first=False)


@pytest.mark.parametrize("server", ["rclone", "moto"])
def test_batches_are_found_in_the_bucket_from_every_machine(
    server: str, prefix: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has never seen them lists them, and says of each where its ledger is."""
    request.getfixturevalue(server)
    for name in ("a", "b/c"):
        begin(bucket(f"{prefix}/{name}"))
    another_machine(monkeypatch, tmp_path)
    found = list(bucket(prefix).below())
    assert [str(place) for place in found] == [f"s3://{BUCKET}/{prefix}/{name}" for name in ("a", "b/c")]
    assert [str(place) for place in bucket(f"{prefix}/b/c").below()] == [f"s3://{BUCKET}/{prefix}/b/c"]
    for place in found:
        with pytest.raises(OutputError, match="ledger is on"):
            place.ledger_folder()


@pytest.mark.usefixtures("rclone")
def test_the_batches_below_a_place_are_those_of_this_machine(prefix: str) -> None:
    """They are found by their ledgers and named by their URLs; before the first night of a schedule there is none."""
    for name in ("a", "b/c", ".d"):
        begin(bucket(f"{prefix}/{name}"))
    bucket(f"{prefix}/not-ours").home.mkdir(parents=True)
    found = [str(place) for place in bucket(prefix).below()]
    assert found == [f"s3://{BUCKET}/{prefix}/{name}" for name in (".d", "a", "b/c")]
    assert [str(place) for place in bucket(f"{prefix}/a").below()] == [f"s3://{BUCKET}/{prefix}/a"]
    assert list(bucket(f"{prefix}/not-ours").below()) == []


@pytest.mark.parametrize("server", ["rclone", "moto"])
async def test_files_are_listed_and_removed(server: str, prefix: str, request: pytest.FixtureRequest) -> None:
    """Those of one folder, by their names in the output, though another's name begins alike; more than one answer holds."""
    request.getfixturevalue(server)
    place = bucket(prefix)
    many = {f"gallery/rows/{number:04d}.js" for number in range(1_003)}
    for name in (*many, "gallery/rows2/a.js", "index.html"):
        obstore.put(place._patient, f"{prefix}/{name}", b"")
    assert await place.names("gallery/rows") == many
    assert await place.names("images") == set()
    await place.remove([*many, "gallery/rows/gone.js"])
    assert await place.names("gallery") == {"gallery/rows2/a.js"}
    assert (place.has("index.html"), place.has("gallery/rows/0001.js")) == (True, False)


def test_a_page_loads_from_its_own_bucket_only() -> None:
    """The address is relative and quoted, from one prefix to another, the bucket's root among them."""
    places = {name: bucket(name) for name in ("", "a", "a/b c", "d")}
    found = {(one, other): places[one].address_from(places[other]) for one in places for other in places}
    assert found["a", "d"] == "../a/"
    assert found["a/b c", "a"] == "b%20c/"
    assert found["a", "a/b c"] == "../"
    assert (found["", "d"], found["d", ""]) == ("../", "d/")
    assert {found[name, name] for name in places} == {""}
    assert bucket("a").address_from(bucket("a", "another")) is None
    assert bucket("a").address_from(OutputFolder("a")) is None
    assert OutputFolder("a").address_from(bucket("a")) is None
