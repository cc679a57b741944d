"""An unlucky machine: a disk that fills up, or vanishes under the daemon, kills at any moment,
signals in storms, and an operator who presses every button at once."""
import os
import random
import shutil
import signal
import subprocess
import threading

import pytest

from lib import faults, wire
from lib.image import make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024


def add_blob(origin, size):
    data = os.urandom(size)
    return origin.add_blob(REPO, data), data


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(folder)],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def pull_with_resume(darter, digest, data, tries=6):
    """As a runtime does: what was cut is continued by Range. Every byte must be right."""
    got = b""
    for _ in range(tries):
        headers = [("Range", f"bytes={len(got)}-")] if got else []
        response = darter.blob(REPO, digest, headers)
        assert response.status in (200, 206), response
        got = response.body if response.status == 200 else got + response.body
        assert got == data[:len(got)]
        if response.is_complete and len(got) == len(data):
            return
    raise AssertionError(f"{len(got)} of {len(data)} bytes after {tries} tries")


def test_a_disk_that_fills_up_in_the_middle_costs_no_pull(run_darter, origin, small_disk):
    """Others fill it: the quota and the floor know nothing of that."""
    darter = run_darter({"test.local": [origin.url]}, ["--cache-min-free", "0B"],
                        folder=str(small_disk))
    digest, data = add_blob(origin, 12 * MIB)
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
        assert connection.read_head().status == 200
        assert gate.reached.wait(20)
        try:
            with open(small_disk / "ballast", "wb") as file:
                while True:
                    file.write(b"x" * 65536)
        except OSError:
            pass
        gate.open()
        connection.read_exactly(len(data))
    pull_with_resume(darter, digest, data)
    for size in (100_000, 6 * MIB):
        other, bytes_ = add_blob(origin, size)
        pull_with_resume(darter, other, bytes_)
    os.unlink(small_disk / "ballast")
    wait_until(lambda: darter.blob(REPO, digest).header("X-Darter-Source") == "disk",
               "the cache to be of use again", 40)


@pytest.mark.parametrize("size", [1000, 5 * MIB])
def test_a_cache_folder_that_is_removed_costs_no_pull(darter, origin, size):
    image = origin.add(REPO, make_image([200_000]), "latest")
    darter.pull(REPO, "latest", image)
    shutil.rmtree(darter.cache)
    darter.pull(REPO, "latest", image)
    digest, data = add_blob(origin, size)
    for _ in range(3):
        pull_with_resume(darter, digest, data)
    other = origin.add(REPO, make_image([300_000, 5 * MIB]), "other")
    darter.pull(REPO, "other", other)


def test_a_cache_removed_in_the_middle_of_a_fill_costs_no_pull(darter, origin):
    digest, data = add_blob(origin, 12 * MIB)
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    with darter.connect() as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}", close=True)
        head = connection.read_head()
        shutil.rmtree(darter.cache)
        gate.open()
        assert connection.read_body(head).body == data
    for _ in range(2):
        pull_with_resume(darter, digest, data)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_served_after_a_kill_is_right(darter, origin, seed):
    """At random moments of fills, again and again over the same cache."""
    rng = random.Random(seed)
    blobs = dict(add_blob(origin, size) for size in (1, 700_000, 3 * MIB, 9 * MIB, 20 * MIB))
    origin.misbehave(faults.trickle(40 * MIB, piece=400_000), kind="blob", method="GET")
    for _ in range(6):
        threads, wrong = [], []
        reached = rng.randrange(sum(map(len, blobs.values())))

        def client(digest):
            try:
                response = darter.blob(REPO, digest)
                if response.status == 200 and not blobs[digest].startswith(response.body):
                    wrong.append(digest)
            except (OSError, wire.CutShort):
                pass  # killed

        before = sum(origin.blob_bytes.values())
        for digest in blobs:
            threads.append(threading.Thread(target=client, args=(digest,)))
            threads[-1].start()
        wait_until(lambda: sum(origin.blob_bytes.values()) - before >= reached or
                   not any(thread.is_alive() for thread in threads), "that many bytes")
        darter.kill()
        for thread in threads:
            thread.join()
        assert not wrong
        darter.start()
    for digest, data in blobs.items():
        assert darter.blob(REPO, digest).body == data


def test_a_stop_in_the_middle_of_many_fills_is_clean(run_darter, origin):
    """With clients, without, before the first byte, while verifying: all at once."""
    blobs = dict(add_blob(origin, size) for size in [100_000, 3 * MIB, 9 * MIB] * 5)
    origin.misbehave(faults.trickle(3 * MIB, piece=100_000), kind="blob", method="GET", skip=4)
    darter = run_darter({"test.local": [origin.url]}, ["--drain", "300ms"])
    for turn in range(4):
        connections = []
        for number, digest in enumerate(blobs):
            connection = darter.connect()
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}")
            if number % 3 == turn % 3:
                connection.read_head()
            if number % 2:
                connection.close()
            else:
                connections.append(connection)
        darter.stop()
        for connection in connections:
            connection.close()
        darter.start()
    origin.behave()
    for digest, data in blobs.items():
        assert darter.blob(REPO, digest).body == data


@pytest.mark.parametrize("kind", ["blob", "manifest", "tags"])
def test_a_stop_while_clients_wait_for_upstream_lets_go_of_all(run_darter, origin, image, kind):
    """Nobody answered yet whether they may: the question ends with the daemon."""
    darter = run_darter({"test.local": [origin.url]}, ["--drain", "200ms"])
    origin.misbehave(faults.hang(), kind=kind)
    targets = {"blob": f"/v2/{REPO}/blobs/{image.layers[0]}",
               "manifest": f"/v2/{REPO}/manifests/latest", "tags": f"/v2/{REPO}/tags/list"}
    connections = [darter.connect() for _ in range(5)]
    for number, connection in enumerate(connections):
        connection.send_request("GET", targets[kind],
                                [("Authorization", f"Bearer {number % 2}")])
    wait_until(lambda: origin.count(kind=kind) > 0, "a question upstream")
    darter.stop()
    for connection in connections:
        connection.close()
    darter.start()


def test_a_storm_of_reloads_disturbs_nobody(darter, origin):
    image = origin.add(REPO, make_image([6 * MIB, 100_000]), "latest")
    done = threading.Event()

    def storm():
        while not done.is_set():
            darter.process.send_signal(signal.SIGHUP)
            done.wait(0.002)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(10):
            darter.pull(REPO, "latest", image)
    finally:
        done.set()
        thread.join()


BAD_ADMIN = [
    ("GET", "/v1/cache?limit=99999999999999999999999"),
    ("GET", "/v1/cache?limit=-1"),
    ("GET", "/v1/cache?limit=0"),
    ("GET", "/v1/cache?limit=10000"),
    ("GET", "/v1/cache?after=sha256:zz"),
    ("GET", "/v1/cache?after=sha256:" + "f" * 64),
    ("GET", "/v1/cache?state=%00&pinned=%ff&repository=%ff%fe&upstream=" + "a" * 5000),
    ("GET", "/v1/cache/sha256:"),
    ("GET", "/v1/cache/sha256:" + "A" * 64),
    ("GET", "/v1/cache/md5:" + "a" * 32),
    ("GET", "/v1/cache/sha512:" + "a" * 128),
    ("GET", "/v1/cache/" + "a" * 20_000),
    ("GET", "/v1/cache/../../etc/passwd"),
    ("GET", "/v1/cache/%2e%2e/%2e%2e"),
    ("DELETE", "/v1/cache/sha256:" + "0" * 64),
    ("PUT", "/v1/cache/sha256:" + "0" * 64 + "/pin"),
    ("DELETE", "/v1/cache/sha256:" + "0" * 64 + "/pin"),
    ("DELETE", "/v1/cache"),
    ("POST", "/v1/cache/scrub?rate=-1"),
    ("POST", "/v1/cache/scrub?rate=99999999999999999999TiB"),
    ("POST", "/v1/cache/scrub?rate=%ff"),
    ("GET", "/v1/tasks?limit=1"),
    ("GET", "/v1/config"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("CONNECT", "/v1"),
    ("OPTIONS", "*"),
]


def test_bad_questions_of_the_admin_are_answered(darter, origin, image):
    darter.pull(REPO, "latest", image)
    for method, target in BAD_ADMIN:
        try:
            response = darter.ask_admin(target, method)
            assert 200 <= response.status < 500, (method, target, response)
        except wire.CutShort:
            pass  # refused before it was read
        assert darter.process.poll() is None, (method, target)


def test_every_button_at_once_harms_no_pull(run_darter, origin):
    """Pins, removals, scrubs, lists and pulls of the same blobs, from many hands."""
    images = [origin.add(REPO, make_image([300_000, 2 * MIB, 5 * MIB]), f"v{n}") for n in range(3)]
    darter = run_darter({"test.local": [origin.url]}, cache_max="24MiB")
    digests = [digest for image in images for digest in image.blobs]
    done = threading.Event()
    failures = []

    def operator(seed):
        rng = random.Random(seed)
        while not done.is_set():
            digest = rng.choice(digests)
            method, target = rng.choice([
                ("PUT", f"/v1/cache/{digest}/pin"), ("DELETE", f"/v1/cache/{digest}/pin"),
                ("DELETE", f"/v1/cache/{digest}"), ("DELETE", f"/v1/cache/{digest}"),
                ("POST", "/v1/cache/scrub?rate=0B"), ("DELETE", "/v1/cache/scrub"),
                ("GET", f"/v1/cache/{digest}"), ("GET", "/v1/cache?limit=3"),
                ("GET", "/v1/tasks")])
            try:
                response = darter.ask_admin(target, method)
                if response.status >= 500:
                    failures.append((method, target, response))
            except (OSError, wire.CutShort) as error:
                failures.append((method, target, error))
                return

    def puller(seed):
        rng = random.Random(seed)
        for _ in range(25):
            image = rng.choice(images)
            digest = rng.choice(list(image.blobs))
            try:
                pull_with_resume(darter, digest, image.blobs[digest])
            except (OSError, wire.CutShort, AssertionError) as error:
                failures.append((digest, error))
                return

    operators = [threading.Thread(target=operator, args=(seed,)) for seed in range(3)]
    pullers = [threading.Thread(target=puller, args=(seed,)) for seed in range(4)]
    for thread in operators + pullers:
        thread.start()
    for thread in pullers:
        thread.join()
    done.set()
    for thread in operators:
        thread.join()
    assert not failures, failures[:3]
