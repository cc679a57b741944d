"""Everything at once, by dice: registries that change their mind, clients that come and go, a cache
too small for all of it, a kill or a stop now and then. What is completed is always right, and in the
end everything can be had. The seed is the name of the test."""
import os
import random
import threading

import pytest

from lib import faults, wire
from lib.proxy import wait_until

REPOS = ["library/web", "team/app", "a/b/c"]
KIB = 1024
MIB = 1024 * KIB
SIZES = [0, 1, 1000, 512 * KIB, 512 * KIB + 1, 3 * MIB, 4 * MIB + 7, 9 * MIB, 20 * MIB]
OPTIONS = ["--stall-timeout", "400ms", "--head-deadline", "4s", "--segment", "16MiB", "--drain",
           "300ms", "--grant-ttl", "1s", "--verify-first", "1MiB"]


def too_long(exchange):
    exchange.reply.body += b"y" * 70_000
    faults.chunked()(exchange)


FAULTS = [
    faults.status(401), faults.status(404), faults.status(429), faults.status(503), faults.close(),
    faults.reset(), faults.hang(1), faults.garbage(), faults.html(), faults.cut(0),
    faults.cut(100_000), faults.cut(2 * MIB, how="reset"), faults.cut(700_000, framing="chunked"),
    faults.stall(300_000, 2), faults.trickle(20 * MIB, piece=200_000), faults.delay_headers(0.3),
    faults.short_body(5000), faults.corrupt(0), faults.corrupt(-1), faults.corrupt(600_000),
    faults.extra_bytes(), faults.header("Content-Length", None), faults.chunked(),
    faults.close_delimited(), faults.gzip_encoded(), faults.ignore_range(), faults.refuse_range(416),
    faults.wrong_content_range(), faults.wrong_content_range(-1), too_long,
    faults.header("Content-Range", "bytes 0-9/10"),
]


def one_client(darter, blobs, rng, wrong):
    digest = rng.choice(list(blobs))
    data = blobs[digest]
    headers = [("Authorization", f"Bearer {rng.randrange(3)}")] if rng.random() < 0.5 else []
    first, last = 0, len(data) - 1
    if data and rng.random() < 0.4:
        first = rng.randrange(len(data))
        if rng.random() < 0.5:
            last = rng.randrange(first, len(data))
        headers.append(("Range", f"bytes={first}-{last if last < len(data) - 1 else ''}"))
    method = rng.choice(["GET"] * 6 + ["HEAD"])
    with darter.connect(timeout_s=20) as connection:
        connection.send_request(method, f"/v2/{rng.choice(REPOS)}/blobs/{digest}", headers,
                                close=True)
        if rng.random() < 0.3:
            connection.read_exactly(rng.choice([0, 1, 100, 300_000]))
            return
        response = connection.read_response(method)
    whole = response.status == 200
    expected = data if whole else data[first:last + 1]
    if method == "GET" and response.status in (200, 206) and response.is_complete:
        # A part in the middle cannot be verified before the whole is here.
        is_middle = response.status == 206 and last < len(data) - 1
        if response.body != expected and not (is_middle and len(response.body) == len(expected)):
            wrong.append((digest, headers, response.status, len(response.body)))
    elif response.status == 429 or (response.status == 500):
        wrong.append((digest, headers, response))


@pytest.mark.parametrize("seed", range(4))
def test_dice(run_darter, origin, standby, seed):
    rng = random.Random(seed)
    blobs = {}
    for size in SIZES:
        data = os.urandom(size)
        for repo in REPOS:
            for registry in (origin, standby):
                blobs[registry.add_blob(repo, data, rng.choice(["sha256", "sha512"]))] = data
    for repo in REPOS:  # whatever the dice said: everybody has everything under both names
        for registry in (origin, standby):
            for digest, data in blobs.items():
                registry.repository(repo).blobs[digest] = data
    darter = run_darter({"test.local": [origin.url, standby.url]}, OPTIONS,
                        cache_max=rng.choice(["30MiB", "1GiB"]))
    wrong = []
    for _ in range(4):
        for registry in (origin, standby):
            registry.behave()
            for _ in range(12):
                registry.misbehave(rng.choice(FAULTS), kind="blob", times=rng.randrange(1, 4),
                                   skip=rng.randrange(6))

        def clients(number):
            dice = random.Random(number)
            for _ in range(12):
                try:
                    one_client(darter, blobs, dice, wrong)
                except (OSError, wire.CutShort) as error:
                    if isinstance(error, TimeoutError):
                        wrong.append(("no answer in time", error))

        threads = [threading.Thread(target=clients, args=(rng.random(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        if rng.random() < 0.5:
            before = len(origin.requests)
            wait_until(lambda: len(origin.requests) > before + 10 or
                       not any(thread.is_alive() for thread in threads), "some requests")
            darter.kill() if rng.random() < 0.5 else darter.stop()
        for thread in threads:
            thread.join()
        if darter.process is None:
            darter.start()
        assert darter.process.poll() is None, "the daemon has ended"
        assert not wrong, wrong[:3]
    origin.behave()
    standby.behave()
    for digest, data in blobs.items():
        wait_until(lambda digest=digest, data=data:
                   darter.blob(REPOS[0], digest).body == data, f"{len(data)} bytes", 30)
