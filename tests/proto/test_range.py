"""Ranges: on a hit, on a miss, while the blob is still on its way, and impossible ones."""
import pytest

from lib import faults
from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


@pytest.fixture
def blob(origin):
    image = origin.add(REPO, make_image([3_000_000]), "latest")
    digest = image.layers[0]
    return digest, image.blobs[digest]


def ask(darter, digest, value):
    return darter.blob(REPO, digest, [("Range", value)])


@pytest.mark.parametrize("is_cached", [False, True], ids=["miss", "hit"])
@pytest.mark.parametrize("value, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=500-1499", 500, 1499), ("bytes=1000000-", 1_000_000, None),
    ("bytes=-500", -500, None), ("bytes=2999000-9999999999", 2_999_000, None),
    ("bytes=0-", 0, None), ("bytes=-99999999999", 0, None),
])
def test_a_range_is_exactly_what_was_asked_for(darter, blob, is_cached, value, first, last):
    digest, data = blob
    if is_cached:
        assert darter.blob(REPO, digest).status == 200
    first = first % len(data)
    last = len(data) - 1 if last is None else last
    response = ask(darter, digest, value)
    assert response.status == 206 and response.is_complete, response
    assert response.header("Content-Range") == f"bytes {first}-{last}/{len(data)}"
    assert response.header("Content-Length") == str(last - first + 1)
    assert response.body == data[first:last + 1]


@pytest.mark.parametrize("is_cached", [False, True], ids=["miss", "hit"])
@pytest.mark.parametrize("value", ["bytes=99999999-", "bytes=500-0", "bytes=-0"])
def test_an_impossible_range_is_416_with_the_size(darter, blob, is_cached, value):
    digest, data = blob
    if is_cached:
        assert darter.blob(REPO, digest).status == 200
    response = ask(darter, digest, value)
    assert response.status == 416, response
    assert response.header("Content-Range") == f"bytes */{len(data)}"


@pytest.mark.parametrize("value", ["bytes=0-10,20-30", "pages=1-2", "bytes=a-b", "bytes=", "bytes",
                                   "bytes=-", "bytes=1-2-3", "bytes=18446744073709551616-"])
def test_a_range_we_do_not_understand_gets_the_whole(darter, blob, value):
    digest, data = blob
    response = ask(darter, digest, value)
    assert response.status in (200, 416), response
    if response.status == 200:
        assert response.body == data


def test_a_range_of_a_blob_on_its_way_comes_from_the_same_fill(darter, origin):
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    data = image.blobs[digest]
    gate = faults.Gate(after=6 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as first:
        first.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = first.read_head()
        assert head.status == 200
        response = ask(darter, digest, "bytes=1000-500000")
        assert response.status == 206 and response.body == data[1000:500001], response
        gate.open()
        assert first.read_body(head).body == data
    assert origin.blob_bytes[digest] == len(data)


def test_a_client_of_ranges_that_hangs_up_after_each_chunk_costs_one_fetch(darter, origin):
    """containerd 2.x asks for `K-`, reads one chunk, and closes; many times."""
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    data = image.blobs[digest]
    for start in range(0, len(data), MIB):
        with darter.connect() as connection:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}",
                                    [("Range", f"bytes={start}-")])
            response = connection.read_head()
            assert response.status == 206, response
            chunk = data[start:start + MIB]
            assert connection.read_exactly(len(chunk)) == chunk
    wait_until(lambda: darter.blob(REPO, digest).header("X-Darter-Source") == "disk", "the seal")
    assert origin.blob_bytes[digest] == len(data)


def test_a_resume_after_a_hang_up_continues_the_blob(darter, origin, blob):
    digest, data = blob
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        connection.read_head()
        part = connection.read_exactly(1_000_000)
    rest = ask(darter, digest, f"bytes={len(part)}-")
    assert rest.status == 206 and part + rest.body == data
    assert origin.blob_bytes[digest] == len(data)


def test_head_with_a_range_is_answered_without_a_body(darter, blob):
    digest, data = blob
    response = darter.blob(REPO, digest, [("Range", "bytes=0-9")], method="HEAD")
    assert response.status in (200, 206) and response.body == b"", response
