"""--limit-up and --limit-down: bytes per second of a node, while it runs."""
import hmac
import os
import re
import signal
import threading
import time

import pytest

from lib import wire
from lib.image import make_image
from lib.proxy import is_instrumented, wait_until

REPO = "library/web"
MIB = 1024 * 1024
PART = 128 * 1024
slow_build = pytest.mark.skipif(is_instrumented(), reason="measures time")


def rewrite(darter, text):
    with open(os.path.join(darter.folder, "darter.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


def reload(darter):
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: " reloaded " in darter.log[seen:], "reloaded")


def assert_keeps_to(count, limit, in_flight=0):
    """In all never more than the limit, however long anybody stood still meanwhile; and as much as
    the limit over a second or two in which nobody did. The bytes of a tenth of a second may be
    saved up, and `in_flight` bytes were let go before they are counted."""
    samples = [(time.monotonic(), count())]

    def comes_near():
        time.sleep(0.25)  # what is measured is a rate: the time is the unit, not a guess
        total = count()
        samples.append((time.monotonic(), total))
        seconds, more = samples[-1][0] - samples[0][0], total - samples[0][1]
        assert more <= limit * (1.02 * seconds + 0.1) + in_flight, \
            f"{more / MIB:.2f} MiB in {seconds:.2f} s, the limit is {limit / MIB:.0f} MiB/s"
        return seconds > 2 and any(
            total - before >= 0.9 * limit * (samples[-1][0] - at)
            for at, before in samples if 1 <= samples[-1][0] - at <= 2)

    wait_until(comes_near, f"a second with {limit / MIB:.0f} MiB/s in it", 40)


def fetch_in_background(darter, digest):
    got = {}

    def run():
        got["body"] = darter.blob(REPO, digest, timeout_s=60).body

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


@slow_build
def test_what_comes_in_keeps_to_the_limit_and_to_a_new_one(run_darter, origin):
    image = origin.add(REPO, make_image([60 * MIB]), "latest")
    digest, data = image.layers[0], image.blobs[image.layers[0]]
    darter = run_darter({"test.local": [origin.url]}, config="limit-down: 2MiB\n")
    received = lambda: darter.metric("darter_source_bytes_total")  # noqa: E731
    thread, got = fetch_in_background(darter, digest)
    wait_until(lambda: received() > MIB // 2, "the first bytes")
    assert_keeps_to(received, 2 * MIB)
    rewrite(darter, "limit-down: 6MiB\n")
    reload(darter)
    assert_keeps_to(received, 6 * MIB)
    rewrite(darter, "limit-down: 0B\n")
    reload(darter)
    thread.join()
    assert got["body"] == data
    assert origin.count(method="GET", kind="blob") == 1, "held back is neither stalled nor slow"


@slow_build
def test_a_limit_below_the_rate_of_slow_sources_replaces_none(run_darter, origin, standby):
    image = origin.add(REPO, make_image([5 * MIB // 4]), "latest")
    standby.add(REPO, image, "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url, standby.url]},
                        ["--limit-down", "256KiB", "--min-rate", "1MiB", "--stall-timeout", "3s"])
    assert darter.blob(REPO, digest, timeout_s=60).body == image.blobs[digest]
    assert standby.count(kind="blob") == 0 and "source_failed" not in darter.log_so_far()


def test_too_low_a_limit_is_refused(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config="limit-up: 1MiB\n")
    rewrite(darter, "limit-up: 100B\n")
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: "reload_refused" in darter.log[seen:], "refused")
    assert "limit-up" in darter.log[seen:]


# ---- uploads: this test is the other node ----

SECRET = b"a secret of the nodes under test"


def derive(use, length=32):
    """HKDF-SHA-256 (RFC 5869) without a salt; one block is enough."""
    key = hmac.digest(bytes(32), SECRET, "sha256")
    return hmac.digest(key, f"darter 1 {use}".encode() + b"\x01", "sha256")[:length]


def ticket_for(digest, site="default"):
    """docs/protocol.md 3.3."""
    first = f"v1 {int(time.time() * 1000) + 60_000}"
    mac = hmac.new(derive("ticket"), digestmod="sha256")
    for part in (first.encode(), site.encode(), digest.encode()):
        mac.update(len(part).to_bytes(8, "big") + part)
    key_id = int.from_bytes(derive("id", 4), "big") >> 4
    return f"{first} {site} k{key_id:07x}.{mac.digest()[:16].hex()}"


@pytest.fixture
def node(run_darter, origin, tmp_path):
    """A daemon with a piece port and a blob of 20 MiB, and how to ask for a part of it."""
    key = tmp_path / "cluster.key"
    key.write_bytes(SECRET + b"\n")
    key.chmod(0o600)
    image = origin.add(REPO, make_image([20 * MIB]), "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url]},
                        ["--cluster-key-file", str(key), "--peer-listen", "127.0.0.1:0"],
                        config="limit-up: 2MiB\n")
    assert darter.blob(REPO, digest).body == image.blobs[digest]
    address = ("127.0.0.1", int(re.search(r" peer=127\.0\.0\.1:(\d+)", darter.log).group(1)))

    def ask(first, last, method="GET", ticket=True):
        headers = [("Range", f"bytes={first}-{last}")]
        if ticket:
            headers.append(("Darter-Ticket", ticket_for(digest)))
        return wire.fetch(address, method, f"/v1/blobs/{digest}", headers, timeout_s=60)
    return darter, ask, image.blobs[digest]


def test_pieces_want_a_ticket_and_a_modest_range(node):
    _, ask, data = node
    assert ask(0, 99, ticket=False).status == 401
    assert ask(0, 16 * MIB).status == 400, "longer than any piece"
    assert ask(0, 0, method="HEAD").header("content-length") == str(len(data))
    part = ask(5, 104)
    assert (part.status, part.body) == (206, data[5:105])
    assert part.header("content-range") == f"bytes 5-104/{len(data)}"


@slow_build
def test_what_goes_out_keeps_to_the_limit_and_to_a_new_one(node):
    darter, ask, data = node
    arrived = []

    def upload(number):
        """One piece after the other, as a node would."""
        while not is_over.is_set():
            part = ask(number * MIB, number * MIB + PART - 1)
            assert part.body == data[number * MIB:number * MIB + PART]
            arrived.append(len(part.body))

    is_over = threading.Event()
    threads = [threading.Thread(target=upload, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(arrived) > 6, "the first pieces")
        assert_keeps_to(lambda: sum(arrived), 2 * MIB, in_flight=len(threads) * PART)
        rewrite(darter, "limit-up: 8MiB\n")
        reload(darter)
        assert_keeps_to(lambda: sum(arrived), 8 * MIB, in_flight=len(threads) * PART)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
