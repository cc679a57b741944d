"""--limit-up and --limit-down: bytes per second of a node, while it runs."""
import os
import signal
import threading
import time

import pytest

from lib.image import make_image
from lib.proxy import is_instrumented, wait_until

REPO = "library/web"
MIB = 1024 * 1024
slow_build = pytest.mark.skipif(is_instrumented(), reason="measures time")


def rewrite(darter, text):
    with open(os.path.join(darter.folder, "darter.yaml"), "w", encoding="utf-8") as file:
        file.write(text)


def reload(darter):
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: " reloaded " in darter.log[seen:], "reloaded")


def rate_over(count, seconds=2.0):
    """Bytes per second of a counter, over so long."""
    began, before = time.monotonic(), count()
    time.sleep(seconds)  # what is measured is a rate: the time is the unit, not a guess
    return (count() - before) / (time.monotonic() - began)


def is_near(rate, limit):
    return 0.9 * limit <= rate <= 1.1 * limit


def fetch_in_background(darter, digest):
    got = {}

    def run():
        got["body"] = darter.blob(REPO, digest, timeout_s=60).body

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


@slow_build
def test_what_comes_in_keeps_to_the_limit_and_to_a_new_one(run_darter, origin):
    image = origin.add(REPO, make_image([28 * MIB]), "latest")
    digest, data = image.layers[0], image.blobs[image.layers[0]]
    darter = run_darter({"test.local": [origin.url]}, config="limit-down: 2MiB\n")
    received = lambda: darter.metric("darter_source_bytes_total")  # noqa: E731
    thread, got = fetch_in_background(darter, digest)
    wait_until(lambda: received() > MIB // 2, "the first bytes")
    slow = rate_over(received)
    assert is_near(slow, 2 * MIB), f"{slow / MIB:.2f} MiB/s, the limit is 2"
    rewrite(darter, "limit-down: 6MiB\n")
    reload(darter)
    fast = rate_over(received)
    assert is_near(fast, 6 * MIB), f"{fast / MIB:.2f} MiB/s, the limit is 6"
    rewrite(darter, "limit-down: 0B\n")
    reload(darter)
    thread.join()
    assert got["body"] == data
    assert origin.count(method="GET", kind="blob") == 1, "held back is neither stalled nor slow"


@slow_build
def test_a_limit_below_the_rate_of_slow_sources_replaces_none(run_darter, origin, standby):
    image = origin.add(REPO, make_image([MIB]), "latest")
    standby.add(REPO, image, "latest")
    digest = image.layers[0]
    darter = run_darter({"test.local": [origin.url, standby.url]},
                        ["--limit-down", "256KiB", "--min-rate", "1MiB", "--stall-timeout", "1s"])
    assert darter.blob(REPO, digest, timeout_s=60).body == image.blobs[digest]
    assert standby.count(kind="blob") == 0 and "source_failed" not in darter.log


def test_too_low_a_limit_is_refused(run_darter, origin):
    darter = run_darter({"test.local": [origin.url]}, config="limit-up: 1MiB\n")
    rewrite(darter, "limit-up: 100B\n")
    seen = len(darter.log)
    os.kill(darter.pid, signal.SIGHUP)
    wait_until(lambda: "reload_refused" in darter.log[seen:], "refused")
    assert "limit-up" in darter.log[seen:]
