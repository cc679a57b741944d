"""What survives: an orderly stop, a kill in the middle of a blob, and a stop in the middle of one."""
import signal
import threading

import pytest

from lib import faults
from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


def present_bytes(darter, digest):
    response = darter.ask_admin(f"/v1/cache/{digest}")
    return response.json().get("present_bytes", 0) if response.status == 200 else 0


def test_a_restart_keeps_the_cache(darter, origin, image):
    darter.pull(REPO, "latest", image)
    darter.restart()
    origin.forget()
    warm = darter.pull(REPO, "latest", image)
    assert warm.header("X-Cache") == "HIT"
    assert origin.count(method="GET") == 0


def test_a_kill_keeps_the_cache(darter, origin, image):
    darter.pull(REPO, "latest", image)
    wait_until(lambda: all(digest in darter.ask_admin("/v1/cache?state=sealed").body.decode()
                           for digest in image.blobs), "the commit")
    darter.kill()
    darter.start()
    origin.forget()
    darter.pull(REPO, "latest", image)
    assert origin.count(method="GET", kind="blob") == 0


def test_a_killed_fill_is_continued(darter, origin):
    image = origin.add(REPO, make_image([24 * MIB]), "latest")
    digest = image.layers[0]
    data = image.blobs[digest]
    gate = faults.Gate(after=20 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        assert connection.read_head().status == 200
        wait_until(lambda: present_bytes(darter, digest) >= 8 * MIB, "some committed pieces")
        darter.kill()
    gate.open()
    before = origin.blob_bytes[digest]
    darter.start()
    response = darter.blob(REPO, digest)
    assert response.status == 200 and response.body == data, response
    again = origin.blob_bytes[digest] - before
    assert again <= len(data) - 8 * MIB, f"{again} of {len(data)} bytes were fetched again"


@pytest.mark.parametrize("times", range(3))
def test_kills_at_any_moment_lose_nothing_but_time(darter, origin, times):
    image = origin.add(REPO, make_image([3 * MIB, 3 * MIB, 200_000]), "latest")
    gates = [faults.Gate(after=MIB * (1 + times)) for _ in range(3)]
    for gate in gates:
        origin.misbehave(gate, kind="blob", method="GET", times=1)
    threads = []
    for digest in image.layers:
        def client(digest=digest):
            try:
                darter.blob(REPO, digest)
            except (OSError, AssertionError, Exception):
                pass  # it is meant to be cut off
        threads.append(threading.Thread(target=client))
        threads[-1].start()
    wait_until(lambda: any(gate.reached.is_set() for gate in gates), "a blob on its way")
    darter.kill()
    for gate in gates:
        gate.open()
    for thread in threads:
        thread.join()
    origin.behave()
    darter.start()
    darter.pull(REPO, "latest", image)


def test_a_stop_lets_transfers_end(darter, origin):
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        darter.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(darter), "the port to be closed")
        gate.open()
        response = connection.read_body(head)
        assert response.is_complete and response.body == image.blobs[digest]
    darter.finish(0)
    darter.start()


def refuses_connections(darter):
    try:
        darter.connect(timeout_s=1).close()
    except OSError:
        return True
    return False


def test_a_stop_does_not_wait_for_ever(run_darter, origin):
    image = origin.add(REPO, make_image([8 * MIB]), "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url]}, ["--drain", "500ms"])
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        head = connection.read_head()
        darter.stop()
        response = connection.read_body(head)
        assert not response.is_complete
    gate.open()
    darter.start()
    assert darter.blob(REPO, digest).body == image.blobs[digest]


def test_idle_connections_do_not_hold_up_a_stop(darter, image):
    with darter.connect() as idle, darter.connect() as half:
        idle.send_request("GET", "/v2/")
        idle.read_response()
        half.send(b"GET /v2/ HT")
        darter.stop()
        assert idle.is_closed_by_peer()
    darter.start()


def test_a_reload_keeps_serving(darter, origin, image):
    darter.pull(REPO, "latest", image)
    darter.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload" in darter.log.lower(), "a word about the reload")
    darter.pull(REPO, "latest", image)
