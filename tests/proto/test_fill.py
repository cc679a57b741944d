"""One fill per blob, however many clients want it and however they behave."""
import threading

import pytest

from lib import faults, wire
from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


@pytest.fixture
def darter(origin, run_darter):
    """It waits at a gate for as long as a hundred clients need to come on a slow machine."""
    return run_darter({"test.local": [origin.url]}, ["--stall-timeout", "1m"])


def big(origin, size=8 * MIB):
    image = origin.add(REPO, make_image([size]), "latest")
    return image.layers[0], image.blobs[image.layers[0]]


def test_a_hundred_clients_of_one_blob_cost_the_origin_one(darter, origin):
    digest, data = big(origin, 6 * MIB)
    gate = faults.Gate(after=MIB)
    origin.misbehave(gate, kind="blob", method="GET")
    results = [None] * 100
    sent = threading.Semaphore(0)

    def client(number):
        with darter.connect(timeout_s=50) as connection:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}", close=True)
            sent.release()
            response = connection.read_response()
            results[number] = response.status == 200 and response.body == data

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for _ in threads:
        sent.acquire(timeout=30)
    gate.open()
    for thread in threads:
        thread.join()
    assert all(results), f"{results.count(True)} of {len(results)} clients got the blob"
    assert origin.blob_bytes[digest] == len(data)
    assert origin.count(method="GET", kind="blob") == 1


def test_a_hundred_clients_of_one_tag_cost_the_origin_one_get(darter, origin):
    image = origin.add(REPO, make_image(), "latest")
    gate = faults.Gate()
    origin.misbehave(gate, kind="manifest")
    results = []

    def client():
        results.append(darter.manifest(REPO, "latest").body == image.manifest)

    threads = [threading.Thread(target=client) for _ in range(100)]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(20)
    gate.open()
    for thread in threads:
        thread.join()
    assert len(results) == 100 and all(results)
    assert origin.count(method="GET", kind="manifest") == 1


def test_the_fill_goes_on_when_its_only_client_leaves(darter, origin):
    digest, data = big(origin)
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        assert connection.read_head().status == 200
        connection.read_exactly(1000)
    gate.open()
    wait_until(lambda: origin.blob_bytes[digest] == len(data), "the rest of the blob")
    response = darter.blob(REPO, digest)
    assert response.body == data
    assert origin.blob_bytes[digest] == len(data)


def test_the_first_byte_does_not_wait_for_the_last(darter, origin):
    digest, data = big(origin)
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET")
    with darter.connect(timeout_s=25) as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        assert head.status == 200 and head.header("Content-Length") == str(len(data))
        start = connection.read_exactly(MIB)
        assert start == data[:MIB]
        gate.open()
        connection.buffer = start + connection.buffer
        assert connection.read_body(head).body == data


def test_a_client_that_does_not_read_holds_up_nobody(darter, origin):
    digest, data = big(origin, 16 * MIB)
    with darter.connect(receive_buffer=4096) as lazy:
        lazy.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        assert lazy.read_line().startswith(b"HTTP/1.1 200")
        assert darter.blob(REPO, digest, timeout_s=20).body == data
    assert origin.blob_bytes[digest] == len(data)


def test_clients_that_stop_reading_hold_little_memory(darter, origin):
    digest, data = big(origin, 16 * MIB)
    assert darter.blob(REPO, digest).body == data
    before = darter.resident_bytes()
    lazy = [darter.connect(receive_buffer=4096) for _ in range(50)]
    try:
        for connection in lazy:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        for connection in lazy:
            assert connection.read_line().startswith(b"HTTP/1.1 200")
        assert darter.blob(REPO, digest).body == data
        grown = darter.resident_bytes() - before
        assert grown < 50 * MIB, f"{grown // 50} bytes for each client that waits"
    finally:
        for connection in lazy:
            connection.close()


def test_a_slow_reader_gets_every_byte(darter, origin):
    digest, data = big(origin, 5 * MIB)
    with darter.connect(receive_buffer=8192) as slow:
        slow.send_request("GET", f"/v2/{REPO}/blobs/{digest}", close=True)
        head = slow.read_head()
        got = bytearray()
        while len(got) < len(data):
            part = slow.read_exactly(min(3000, len(data) - len(got)))
            assert part, f"ended after {len(got)} bytes"
            got += part
        assert head.status == 200 and bytes(got) == data


@pytest.mark.parametrize("how", ["before the head", "in the body"])
def test_clients_that_come_and_go_leave_the_daemon_well(darter, origin, how):
    digest, data = big(origin)
    gate = faults.Gate(after=0 if how == "before the head" else 5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    for _ in range(30):
        with darter.connect() as connection:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
            if how == "in the body":
                connection.read_head()
    gate.open()
    assert darter.blob(REPO, digest).body == data
    assert origin.blob_bytes[digest] == len(data)


def test_different_blobs_are_filled_side_by_side(darter, origin):
    image = origin.add(REPO, make_image([100_000] * 6), "latest")
    gate = faults.Gate()
    origin.misbehave(gate, kind="blob", method="GET")
    connections = []
    for digest in image.layers:
        connections.append(darter.connect())
        connections[-1].send_request("GET", f"/v2/{REPO}/blobs/{digest}")
    wait_until(lambda: origin.count(method="GET", kind="blob") >= 6, "six fetches at once")
    gate.open()
    for digest, connection in zip(image.layers, connections):
        assert connection.read_response().body == image.blobs[digest]
        connection.close()


def test_a_blob_that_comes_without_its_length_is_served(darter, origin):
    digest, data = big(origin, 300_000)
    origin.misbehave(faults.header("Content-Length", None), kind="blob", method="HEAD")
    origin.misbehave(faults.close_delimited(), kind="blob", method="GET")
    response = wire.fetch(darter.address, "GET", f"/v2/{REPO}/blobs/{digest}")
    assert response.status == 200 and response.body == data and response.is_complete, response
