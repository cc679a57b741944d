"""Registries that mean harm, or are merely broken in ways nobody thought of: sizes that change,
ranges answered with anything, bodies without end. No wrong byte is ever completed, no client waits
for ever, and a blob that somebody has is had in the end."""
import os
import threading

import pytest

from lib import faults
from lib.image import digest_of, make_image
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024
IMPATIENT = ["--stall-timeout", "3s", "--head-deadline", "6s"]
STREAMED = ["--cache-min-free", "1000000GiB"]
SMALL_SEGMENTS = ["--segment", "16MiB"]


def add_blob(origin, size):
    data = os.urandom(size)
    return origin.add_blob(REPO, data), data


def never_completes_wrong(response, data, first=0):
    """What came is a right beginning, or an error; complete only when all of it is right."""
    if response.status in (200, 206):
        assert response.body == data[first:first + len(response.body)] or not response.is_complete
        if response.is_complete:
            assert response.body == data[first:]
    else:
        assert response.status in (404, 502, 503), response


def claims_more(extra, is_chunked):
    """Wrong bytes, and more of them than the blob has."""
    def fault(exchange):
        body = bytearray(exchange.reply.body)
        body[len(body) // 2] ^= 0xFF
        exchange.reply.body = bytes(body) + b"x" * extra
        (faults.chunked() if is_chunked else faults.close_delimited())(exchange)
    return fault


@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "close-delimited"])
@pytest.mark.parametrize("size", [300_000, 6 * MIB])
@pytest.mark.parametrize("options", [[], STREAMED], ids=["cached", "streamed through"])
def test_a_wrong_blob_with_bytes_after_its_end_is_never_completed(run_darter, origin, options, size,
                                                                  is_chunked):
    """The permit told the size; nothing in the answer contradicts it before the last byte."""
    digest, data = add_blob(origin, size)
    origin.misbehave(claims_more(200_000, is_chunked), kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + options)
    never_completes_wrong(darter.blob(REPO, digest), data)
    origin.behave()
    wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob")


@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "close-delimited"])
def test_a_right_blob_with_bytes_after_its_end_is_cut_to_its_size(run_darter, origin, is_chunked):
    def fault(exchange):
        exchange.reply.body += b"x" * 100_000
        (faults.chunked() if is_chunked else faults.close_delimited())(exchange)

    digest, data = add_blob(origin, 5 * MIB)
    origin.misbehave(fault, kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + STREAMED)
    response = darter.blob(REPO, digest)
    assert response.status == 200 and response.body == data, response


def test_a_middle_part_from_a_registry_without_ranges_ends_where_it_was_asked_to(run_darter, origin):
    """Streamed through, the whole blob comes and the part is cut out of it."""
    digest, data = add_blob(origin, 6 * MIB)
    origin.misbehave(faults.ignore_range(), kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + STREAMED)
    for first, last in ((1000, 1999), (0, 0), (MIB, 4 * MIB), (5 * MIB, 6 * MIB - 2)):
        part = darter.blob(REPO, digest, [("Range", f"bytes={first}-{last}")])
        assert part.status == 206 and part.body == data[first:last + 1], (first, last, part)
    # One of each by the fill that had no room; more only where the machine stood still.
    repeated = darter.metric("darter_requests_repeated_total")
    assert origin.count(kind="blob", method="GET") <= 8 + repeated


def test_a_registry_that_forgets_ranges_in_the_middle_of_a_fill(run_darter, origin, standby):
    """Its 200 runs into what another stream is bringing at the same time."""
    digest, data = add_blob(origin, 48 * MIB)
    standby.add_blob(REPO, data)
    slow = faults.trickle(8 * MIB, piece=100_000)
    origin.misbehave(slow, kind="blob", method="GET", times=1)
    for registry in (origin, standby):
        registry.misbehave(faults.ignore_range(), kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url, standby.url]},
                        SMALL_SEGMENTS + ["--stall-timeout", "3s", "--streams-per-blob", "8"])
    results = []

    def client(first):
        response = darter.blob(REPO, digest, [("Range", f"bytes={first}-{first + 9999}")])
        results.append(response.status == 206 and response.body == data[first:first + 10_000])

    threads = [threading.Thread(target=client, args=(first * MIB + 777,))
               for first in (0, 7, 13, 22, 31, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results) and len(results) == 6, results
    assert darter.blob(REPO, digest).body == data


def endless_range(exchange):
    """Every byte that was asked for, and then others without end."""
    if exchange.request.header("range") is None:
        exchange.send()
        return
    exchange.reply.set("Content-Length", None)
    exchange.reply.set("Connection", "close")
    exchange.send_head()
    exchange.send_body(exchange.reply.body)
    while not exchange.origin.closing.is_set():
        exchange.raw(b"x" * 100_000)


def test_a_range_without_end_is_left_where_it_should_have_ended(run_darter, origin):
    digest, data = add_blob(origin, 80 * MIB)
    origin.misbehave(endless_range, kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + SMALL_SEGMENTS)
    response = darter.blob(REPO, digest)
    assert response.status == 200 and response.body == data, response


def says_size(size):
    """The body is right as far as it goes; the size it belongs to is not."""
    def fault(exchange):
        value = exchange.reply.get("Content-Range")
        if value is not None:
            exchange.reply.set("Content-Range", value.rsplit("/", 1)[0] + f"/{size}")
            exchange.send()
            return
        exchange.reply.set("Content-Length", size)
        exchange.send()
        if exchange.request.method != "HEAD":
            exchange.hang_up()
    return fault


@pytest.mark.parametrize("size", [10 * MIB - 1, 10 * MIB + 1, 30 * MIB, 1 << 50, 1])
def test_a_size_that_was_a_lie_does_not_spoil_the_blob_for_ever(run_darter, origin, size):
    """The liar's part is in the cache when the right size is told."""
    digest, data = add_blob(origin, 10 * MIB)
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT)
    origin.misbehave(says_size(size), kind="blob")
    never_completes_wrong(darter.blob(REPO, digest), data)
    origin.behave()
    wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob", 40)


def test_a_size_told_by_a_registry_that_died_does_not_stop_the_other(run_darter, origin, standby):
    digest, data = add_blob(origin, 10 * MIB)
    standby.add_blob(REPO, data)
    origin.misbehave(says_size(11 * MIB), kind="blob", times=2)
    origin.misbehave(faults.close())
    darter = run_darter({"test.local": [origin.url, standby.url]}, IMPATIENT)
    never_completes_wrong(darter.blob(REPO, digest), data)
    wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob", 40)


def test_a_pinned_part_of_another_size_does_not_stop_a_pull(run_darter, origin):
    digest, data = add_blob(origin, 10 * MIB)
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT)
    origin.misbehave(says_size(11 * MIB), kind="blob")
    never_completes_wrong(darter.blob(REPO, digest), data)
    wait_until(lambda: darter.ask_admin(f"/v1/cache/{digest}").status == 200, "the part")
    darter.ask_admin(f"/v1/cache/{digest}/pin", method="PUT")
    origin.behave()
    origin.forget()
    wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob", 40)
    assert origin.count(kind="blob") < 60, "the registry was asked again and again"


def odd_206(value, body=None):
    def fault(exchange):
        exchange.reply.status = 206
        exchange.reply.set("Content-Range", value)
        if body is not None:
            exchange.reply.body = body
            exchange.reply.set("Content-Length", len(body))
        exchange.send()
    return fault


ODD_RANGES = {
    "no range at all": odd_206(None),
    "words": odd_206("bytes lots"),
    "negative": odd_206("bytes -1--1/5"),
    "overflow": odd_206("bytes 0-18446744073709551615/18446744073709551616"),
    "the end before the start": odd_206("bytes 5-4/10"),
    "an absurd size": odd_206("bytes 0-9/18446744073709551615"),
    "no size": odd_206("bytes 0-9/*", b"0123456789"),
    "another unit": odd_206("lines 0-9/10"),
    "one byte": odd_206("bytes 0-0/9437184", b"x"),
    "several parts": odd_206("multipart/byteranges", b"--x\r\n\r\nhello\r\n--x--"),
    "999": faults.status(999),
    "600": faults.status(600),
    "304": faults.status(304, body=b""),
    "204": faults.status(204, body=b""),
    "205": faults.status(205, body=b""),
    "300": faults.status(300),
    "interim without end": faults.garbage(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000),
    "switching protocols": faults.garbage(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "HTTP/0.9": faults.garbage(b"hello world"),
    "HTTP/2": faults.garbage(b"HTTP/2 200\r\ncontent-length: 5\r\n\r\nhello"),
    "many headers": faults.status(200, *[(f"x-{n}", "y") for n in range(20_000)]),
    "retry for ever": faults.too_many("99999999999999999999999"),
    "retry at once": faults.too_many("0"),
    "retry before": faults.too_many("-5"),
    "retry in words": faults.too_many("\x80\xff soon"),
    "to a file": faults.redirect("file:///etc/passwd"),
    "to a local service": faults.redirect("http://169.254.169.254:1/latest/meta-data"),
    "to nothing": faults.redirect(""),
    "to another scheme": faults.redirect("gopher://127.0.0.1:1/"),
    "with a password": faults.redirect("http://user:pass@127.0.0.1:1/"),
    "to a port of nonsense": faults.redirect("http://127.0.0.1:99999/"),
    "to itself": faults.redirect(lambda request: request.target),
    "a challenge of bytes": faults.status(401, ("WWW-Authenticate", 'Bearer realm="\x80\xff')),
    "a challenge to a file": faults.status(401, ("WWW-Authenticate",
                                                 'Bearer realm="file:///etc/passwd"')),
}


@pytest.mark.parametrize("kind", ["blob", "manifest", "tags"])
def test_answers_out_of_this_world_become_a_refusal(run_darter, origin, kind):
    """One after the other, at one daemon: each ends in an error in time, and then all is well."""
    image = origin.add(REPO, make_image([9 * MIB, 200_000]), "latest")
    darter = run_darter({"test.local": [origin.url]},
                        ["--stall-timeout", "300ms", "--head-deadline", "2s"])
    targets = {"blob": [f"/v2/{REPO}/blobs/{digest}" for digest in image.layers],
               "manifest": [f"/v2/{REPO}/manifests/{image.digest}"],
               "tags": [f"/v2/{REPO}/tags/list", f"/v2/{REPO}/tags/list?n=1"]}[kind]
    for name, fault in ODD_RANGES.items():
        origin.behave()
        origin.misbehave(fault, kind=kind, method="GET")
        for target in targets:
            response = darter.get(target, timeout_s=12)
            assert darter.process.poll() is None, name
            if kind == "blob":
                data = image.blobs[target.rsplit("/", 1)[1]]
                assert response.status in (404, 502, 503) or response.body == data or \
                    not response.is_complete, (name, response)
    origin.behave()
    wait_until(lambda: darter.can_pull(REPO, "latest", image), "a pull")


@pytest.mark.parametrize("options", [[], STREAMED], ids=["cached", "streamed through"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 2, 512 * 1024, 512 * 1024 - 1, 4 * MIB, 4 * MIB + 1,
                                  256 * 1024, 256 * 1024 + 1])
def test_blobs_at_the_edges_are_whole(run_darter, origin, options, algorithm, size):
    data = os.urandom(size)
    digest = origin.add_blob(REPO, data, algorithm)
    assert digest == digest_of(data, algorithm)
    darter = run_darter({"test.local": [origin.url]}, options)
    for _ in range(2):
        response = darter.blob(REPO, digest)
        assert response.status == 200 and response.body == data and response.is_complete, response
        if size > 0:
            part = darter.blob(REPO, digest, [("Range", f"bytes={size - 1}-")])
            assert part.status == 206 and part.body == data[-1:], part
            part = darter.blob(REPO, digest, [("Range", "bytes=-99999999999")])
            assert part.status == 206 and part.body == data, part
        part = darter.blob(REPO, digest, [("Range", f"bytes={size}-")])
        assert part.status == 416, part


@pytest.mark.parametrize("options", [[], STREAMED], ids=["cached", "streamed through"])
def test_a_refusal_without_a_challenge_is_passed_on(run_darter, origin, options):
    """RFC 9110 demands WWW-Authenticate with a 401; not every front end has read it."""
    digest, data = add_blob(origin, 300_000)
    darter = run_darter({"test.local": [origin.url]}, IMPATIENT + options)
    origin.misbehave(faults.status(401), kind="blob", method="GET")
    assert darter.blob(REPO, digest).status == 401
    origin.behave()
    assert darter.blob(REPO, digest).body == data


@pytest.mark.parametrize("options", [[], STREAMED], ids=["cached", "streamed through"])
def test_a_registry_that_closes_after_every_piece_is_still_of_use(run_darter, origin, options):
    digest, data = add_blob(origin, MIB)
    origin.misbehave(faults.cut(64 * 1024 + 1), kind="blob", method="GET")
    darter = run_darter({"test.local": [origin.url]}, options)
    response = darter.blob(REPO, digest)
    if options:
        never_completes_wrong(response, data)
    else:
        wait_until(lambda: darter.blob(REPO, digest).body == data, "the blob", 40)


def test_a_dead_first_source_leaves_the_honest_one_after_a_liar(run_darter, origin, standby):
    """Bytes of a dead registry, of a liar and of an honest one: the honest one is found."""
    from lib.origin import Origin
    digest, data = add_blob(origin, 9 * MIB)
    with Origin() as honest:
        for registry in (standby, honest):
            registry.add_blob(REPO, data)
        origin.misbehave(faults.cut(5 * MIB), kind="blob", method="GET", times=1)
        origin.misbehave(faults.close(), kind="blob", method="GET")
        standby.misbehave(faults.corrupt(-1), kind="blob", method="GET")
        darter = run_darter({"test.local": [origin.url, standby.url, honest.url]}, IMPATIENT)
        never_completes_wrong(darter.blob(REPO, digest), data)
        wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob", 40)


def test_one_digest_of_many_repositories_is_shown_to_those_who_may(run_darter, origin):
    """At once: one repository refuses, one has it, the others do not know it."""
    digest, data = add_blob(origin, 6 * MIB)
    origin.misbehave(faults.status(403), repo="secret/app")
    gate = faults.Gate(after=5 * MIB)
    origin.misbehave(gate, kind="blob", method="GET", times=1)
    darter = run_darter({"test.local": [origin.url]})
    repos = ["secret/app", REPO, "other/one", "other/two"] * 6
    results = []

    def client(repo, number):
        response = darter.blob(repo, digest, [("Authorization", f"Bearer {repo}-{number % 3}")])
        results.append((repo, response))

    threads = [threading.Thread(target=client, args=(repo, number))
               for number, repo in enumerate(repos)]
    for thread in threads:
        thread.start()
    wait_until(gate.reached.is_set, "the fill")
    gate.open()
    for thread in threads:
        thread.join()
    for repo, response in results:
        if repo == REPO:
            assert response.status == 200 and response.body == data, response
        else:
            assert response.status == (403 if repo == "secret/app" else 404), (repo, response)
    assert origin.blob_bytes[digest] <= len(data) + 64 * 1024


def test_a_token_that_expires_in_the_middle_is_replaced_by_a_fresh_one(run_darter, origin):
    """Clients who came and went must not fill the list of ways with theirs: whose turn did not come
    when the list was full is asked for before the blob is given up."""
    digest, data = add_blob(origin, 40 * MIB)
    gate = faults.Gate(after=8 * MIB)

    def gated_and_cut(exchange):
        exchange.reply.body = exchange.reply.body[:9 * MIB]  # the rest has to be asked for anew
        gate(exchange)
        exchange.hang_up()

    origin.misbehave(gated_and_cut, kind="blob", method="GET", times=1)
    darter = run_darter({"test.local": [origin.url]}, SMALL_SEGMENTS)
    for number in range(60):
        with darter.connect() as connection:
            connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}",
                                    [("Authorization", f"Bearer old-{number}"),
                                     ("Range", "bytes=0-99")])
            assert connection.read_head().status == 206
    origin.misbehave(faults.status(401), kind="blob",
                     when=lambda request: "old" in (request.header("authorization") or ""))
    headers = [("Authorization", "Bearer fresh")]
    with darter.connect(timeout_s=40) as connection:
        connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}", headers, close=True)
        head = connection.read_head()
        gate.open()
        assert connection.read_body(head).body == data
