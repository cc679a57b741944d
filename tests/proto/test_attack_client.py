"""Clients that mean harm: they send ahead and never read, leave at every stage, ask for everything
at once. Nothing of it may end the daemon, make it wait for ever, or cost other clients anything."""
import os
import random
import socket
import struct
import threading

import pytest

from lib import faults, wire
from lib.image import make_image
from lib.proxy import is_instrumented, wait_until

REPO = "library/web"
MIB = 1024 * 1024


def pipeline_without_reading(darter, request, limit=200 * MIB):
    """Sends the request again and again until the daemon takes no more, reading nothing."""
    connection = darter.connect(receive_buffer=4096)
    connection.sock.settimeout(2)
    sent = 0
    try:
        while sent < limit:
            sent += connection.sock.send(request * 200)
    except (TimeoutError, ConnectionError):
        pass  # whether it lives is asked later
    return connection


def assert_alive(darter, image):
    assert darter.process.poll() is None, "the daemon has ended"
    pull_in_the_end(darter, image)


def pull_in_the_end(darter, image):
    """With a deadline of a second one pull may fail because the machine stood still."""
    wait_until(lambda: darter.can_pull(REPO, "latest", image), "a pull")


def test_answers_nobody_takes_do_not_meet_their_own_deadline(run_darter, origin, image):
    """A 304 that waits for the client longer than a head may take is not answered twice."""
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "1s"])
    pull_in_the_end(darter, image)
    digest = image.layers[0]
    request = wire.request_bytes("GET", f"/v2/{REPO}/blobs/{digest}",
                                 [("If-None-Match", f'"{digest}"')])
    with pipeline_without_reading(darter, request):
        assert_alive(darter, image)


@pytest.mark.parametrize("value", ["bytes=999999999-", "bytes=0-0"])
def test_answers_to_ranges_nobody_takes_end_nothing(run_darter, origin, image, value):
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "1s"])
    pull_in_the_end(darter, image)
    request = wire.request_bytes("GET", f"/v2/{REPO}/blobs/{image.layers[0]}", [("Range", value)])
    with pipeline_without_reading(darter, request):
        assert_alive(darter, image)


def test_failures_nobody_takes_are_not_answered_twice(run_darter, origin, image):
    """The same where the blob is streamed past the cache and no source has it."""
    darter = run_darter({"test.local": [origin.url]},
                        ["--head-deadline", "1s", "--cache-min-free", "1000000GiB"])
    pull_in_the_end(darter, image)
    origin.misbehave(faults.status(404), kind="blob", method="GET")
    request = wire.request_bytes("GET", f"/v2/{REPO}/blobs/{image.layers[0]}")
    with pipeline_without_reading(darter, request):
        origin.behave()
        assert_alive(darter, image)


def abort(connection):
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("options", [[], ["--cache-min-free", "1000000GiB"]],
                         ids=["cached", "streamed through"])
def test_resets_at_every_stage_end_nothing(run_darter, origin, options):
    """Before the permit is known, before the first byte, in the body, after some of many."""
    image = origin.add(REPO, make_image([6 * MIB, 100_000]), "latest")
    darter = run_darter({"test.local": [origin.url]}, options)
    stages = {
        "permit": faults.delay_headers(0.05),
        "head": faults.delay_headers(0.05),
        "body": faults.trickle(60 * MIB, piece=300_000),
    }
    rng = random.Random(1)
    for _ in range(40):
        origin.behave()
        origin.misbehave(stages["permit"], kind="blob", method="HEAD")
        origin.misbehave(stages[rng.choice(["head", "body"])], kind="blob", method="GET")
        connections = []
        for _ in range(4):
            connection = darter.connect()
            connections.append(connection)
            for digest in rng.choices(image.layers, k=rng.choice([1, 3])):
                connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        for connection in connections:
            try:
                if rng.random() < 0.6:
                    connection.read_exactly(rng.choice([1, 5000, 90_000]))
            finally:
                (abort if rng.random() < 0.7 else wire.Connection.close)(connection)
    origin.behave()
    assert_alive(darter, image)


def test_a_thousand_small_ranges_of_a_missing_blob_cost_one_blob(darter, origin):
    """At random places, by clients that leave at once, and by some that stay."""
    image = origin.add(REPO, make_image([24 * MIB]), "latest")
    digest = image.layers[0]
    data = image.blobs[digest]
    rng = random.Random(2)
    wrong = []

    def client():
        for _ in range(100):
            first = rng.randrange(len(data))
            last = min(first + rng.randrange(1, 2000), len(data) - 1)
            with darter.connect(timeout_s=40) as connection:
                value = f"bytes={first}-" if rng.random() < 0.5 else f"bytes={first}-{last}"
                connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}", [("Range", value)])
                if rng.random() < 0.5:
                    continue
                head = connection.read_head()
                got = connection.read_exactly(min(last - first + 1, 500))
                if head.status != 206 or got != data[first:first + len(got)] or not got:
                    wrong.append((value, head))

    threads = [threading.Thread(target=client) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert darter.blob(REPO, digest).body == data
    assert origin.blob_bytes[digest] <= 1.05 * len(data)


def test_five_hundred_blobs_at_once_stay_within_bounds(run_darter, origin):
    """Memory, descriptors and tasks have limits, and every client gets his blob."""
    blobs = [os.urandom(700_000) for _ in range(500)]
    digests = [origin.add_blob(REPO, data) for data in blobs]
    origin.misbehave(faults.trickle(500_000, piece=50_000), kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]})
    before = darter.resident_bytes()
    connections, peak = [], 0
    for digest in digests:
        connections.append(darter.connect(timeout_s=60))
        connections[-1].send_request("GET", f"/v2/{REPO}/blobs/{digest}")
    for connection, data in zip(connections, blobs):
        response = connection.read_response()
        peak = max(peak, darter.resident_bytes())
        assert response.status == 200 and response.body == data, response
        connection.close()
    if not is_instrumented():
        assert peak - before < 300 * MIB, f"{(peak - before) // MIB} MiB for 500 blobs on their way"


def test_the_head_comes_in_time_however_many_stages_are_slow(run_darter, origin):
    """The permit, the fill and the way past the cache share one limit of time."""
    image = origin.add(REPO, make_image([5 * MIB]), "latest")
    darter = run_darter({"test.local": [origin.url]}, ["--head-deadline", "6s"])
    origin.misbehave(faults.delay_headers(5), kind="blob", method="HEAD")
    origin.misbehave(faults.hang(), kind="blob", method="GET")
    with darter.connect(timeout_s=10) as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{image.layers[0]}")
        assert connection.read_response().status == 503


def test_a_list_is_refused_in_time_when_every_registry_is_silent(run_darter, origin, standby, image):
    darter = run_darter({"test.local": [origin.url, standby.url]}, ["--head-deadline", "5s"])
    for registry in (origin, standby):
        registry.misbehave(faults.hang(), kind="tags")
    with darter.connect(timeout_s=9) as connection:
        connection.send_request("GET", f"/v2/{REPO}/tags/list")
        assert connection.read_response().status == 503


def test_no_secret_of_a_client_reaches_the_log(run_darter, origin, image):
    darter = run_darter({"test.local": [origin.url]})
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
    headers = [("Authorization", f"Bearer {secret}")]
    darter.pull(REPO, "latest", image, headers)
    for fault in (faults.status(401), faults.close(), faults.hang(0.2), faults.garbage()):
        origin.behave()
        origin.misbehave(fault, times=3)
        darter.blob(REPO, image.layers[0], headers)
        darter.get(f"/v2/{REPO}/tags/list", headers)
        darter.manifest(REPO, "other", headers)
    assert "tags/list" in darter.log_so_far()
    assert secret not in darter.log
