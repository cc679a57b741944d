"""A disk that fails under a fill: who is in the middle of a body gets the rest past the cache, and
never a whole that is wrong."""
import os
import resource
import subprocess
import threading

import pytest

from lib import faults
from lib.proxy import wait_until

REPO = "library/web"
MIB = 1024 * 1024
SIZE, GATE = 12 * MIB, 5 * MIB


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


def parts_of(darter):
    return [os.path.join(path, name) for path, _, names in os.walk(darter.cache) for name in names
            if name.endswith(".part")]


class FullDisk:
    """The file system takes back what it has promised to the rest of the part, and others get it."""

    def prepare(self, run_darter, origin, small_disk):
        self.folder = small_disk
        return run_darter({"test.local": [origin.url]}, ["--cache-min-free", "0B"],
                          folder=str(small_disk))

    def strike(self, darter):
        for part in parts_of(darter):
            subprocess.run(["fallocate", "--punch-hole", "--keep-size", "--offset", str(GATE + MIB),
                            "--length", str(SIZE - GATE - MIB), part], check=True)
        try:
            with open(self.folder / "ballast", "wb") as file:
                while True:
                    file.write(b"x" * 4096)
        except OSError:
            pass

    def mend(self, darter):
        os.unlink(self.folder / "ballast")


class SickDisk:
    """Every write beyond a certain place of a file fails."""

    def prepare(self, run_darter, origin, small_disk):
        darter = run_darter({"test.local": [origin.url]})
        darter.stop()
        darter.may_hit_file_limit = True
        return darter.start()

    def strike(self, darter, limit=GATE + MIB):
        resource.prlimit(darter.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def mend(self, darter):
        infinite = resource.RLIM_INFINITY
        resource.prlimit(darter.pid, resource.RLIMIT_FSIZE, (infinite, infinite))


@pytest.fixture(params=[FullDisk, SickDisk])
def disk(request):
    return request.param()


def gated(origin, fault=None, after=GATE):
    """The first GET of a blob stops at the gate; what `fault` does to it happens before."""
    gate = faults.Gate(after=after)

    def send(exchange):
        if fault is not None:
            fault(exchange)
        gate(exchange)

    origin.misbehave(send, kind="blob", method="GET", times=1)
    return gate


def begin(darter, digest, headers=()):
    connection = darter.connect()
    connection.send_request("GET", f"/v2/{REPO}/blobs/{digest}", headers)
    return connection, connection.read_head()


def assert_cut(connection, left):
    """At least the last byte never comes."""
    try:
        assert len(connection.read_exactly(left)) < left
    except ConnectionError:
        pass
    connection.close()


def blob_of(origin):
    data = os.urandom(SIZE)
    return origin.add_blob(REPO, data), data


def test_a_body_goes_on_when_the_disk_fails(run_darter, origin, small_disk, disk):
    darter = disk.prepare(run_darter, origin, small_disk)
    digest, data = blob_of(origin)
    gate = gated(origin)
    clients = [begin(darter, digest) for _ in range(4)]
    leaver, _ = begin(darter, digest)
    for connection, head in clients:
        assert head.status == 200
        assert connection.read_exactly(MIB) == data[:MIB]
    disk.strike(darter)
    gate.open()
    wait_until(lambda: "task_failed" in darter.log, "the disk to fail")
    leaver.close()
    for connection, _ in clients:
        assert connection.read_exactly(SIZE - MIB) == data[MIB:]
        connection.close()
    wait_until(lambda: darter.log.count(" body_goes_on_past_the_disk ") >= len(clients), "rescues")
    assert darter.metric("darter_rescues_total") >= len(clients)
    assert " body_cut " not in darter.log
    disk.mend(darter)
    wait_until(lambda: darter.blob(REPO, digest).header("X-Darter-Source") == "disk",
               "the cache to be of use again", 40)
    assert darter.blob(REPO, digest).body == data


def test_a_part_of_a_blob_goes_on_too(run_darter, origin, small_disk, disk):
    darter = disk.prepare(run_darter, origin, small_disk)
    digest, data = blob_of(origin)
    gate = gated(origin)
    first, last = 1000, SIZE - 5000
    whole, _ = begin(darter, digest)
    assert whole.read_exactly(MIB) == data[:MIB]
    part, head = begin(darter, digest, [("Range", f"bytes={first}-{last}")])
    end, _ = begin(darter, digest, [("Range", f"bytes={first}-")])
    assert head.status == 206
    assert part.read_exactly(1000) == end.read_exactly(1000) == data[first:first + 1000]
    disk.strike(darter)
    gate.open()
    assert part.read_exactly(last - first - 999) == data[first + 1000:last + 1]
    assert end.read_exactly(SIZE - first - 1000) == data[first + 1000:]
    for connection in (whole, part, end):
        connection.close()
    disk.mend(darter)


def test_wrong_bytes_that_went_out_before_are_never_completed(run_darter, origin, small_disk, disk):
    """What comes afterwards is right and proves nothing about what the client has."""
    darter = disk.prepare(run_darter, origin, small_disk)
    digest, data = blob_of(origin)
    lie = data[:100_000] + bytes([data[100_000] ^ 1]) + data[100_001:]

    def corrupt(exchange):
        exchange.reply.body = lie

    gate = gated(origin, corrupt)
    connection, head = begin(darter, digest)
    assert head.status == 200
    assert connection.read_exactly(MIB) == lie[:MIB]
    disk.strike(darter)
    gate.open()
    assert_cut(connection, SIZE - MIB)
    wait_until(lambda: " body_goes_on_past_the_disk " in darter.log, "the rescue")
    wait_until(lambda: "stream_through_failed" in darter.log, "the verdict")
    disk.mend(darter)
    wait_until(lambda: darter.blob(REPO, digest).body == data, "the right blob")


def test_a_later_fill_does_not_touch_what_a_body_is_proved_with(run_darter, origin, small_disk):
    """He who was given wrong bytes must not be told that they are right, because right ones were
    written over them meanwhile: the last piece of a part is begun anew by whoever resumes it."""
    disk = SickDisk()
    darter = disk.prepare(run_darter, origin, small_disk)
    digest, data = blob_of(origin)
    lied_at, sent = GATE + 50_000, GATE + 100_000
    lie = data[:lied_at] + bytes([data[lied_at] ^ 1]) + data[lied_at + 1:]

    def corrupt(exchange):
        exchange.reply.body = lie

    gate = gated(origin, corrupt, after=sent)
    slow, _ = begin(darter, digest)
    assert slow.read_exactly(sent - 1000) == lie[:sent - 1000]
    disk.strike(darter, limit=sent + 10_000)
    gate.open()
    wait_until(lambda: "body_goes_on_past_the_disk" in darter.log or "body_cut" in darter.log,
               "the disk to fail")
    disk.mend(darter)
    wait_until(lambda: darter.blob(REPO, digest).header("X-Darter-Source") == "disk",
               "the blob in the cache", 40)
    assert_cut(slow, SIZE - sent + 1000)


def test_clients_that_leave_while_they_are_rescued_harm_nobody(run_darter, origin, small_disk, disk):
    darter = disk.prepare(run_darter, origin, small_disk)
    digest, data = blob_of(origin)
    gate = gated(origin)
    clients = [begin(darter, digest)[0] for _ in range(12)]
    for connection in clients:
        assert connection.read_exactly(MIB) == data[:MIB]
    disk.strike(darter)
    gate.open()

    def leave(number):
        """A little before, in, and a little after what the disk took."""
        count = GATE + number * 200_000
        assert clients[number].read_exactly(count - MIB) == data[MIB:count]
        clients[number].close()

    threads = [threading.Thread(target=leave, args=(i,)) for i in range(1, len(clients))]
    for thread in threads:
        thread.start()
    assert clients[0].read_exactly(SIZE - MIB) == data[MIB:]
    for thread in threads:
        thread.join()
    clients[0].close()
    disk.mend(darter)
