"""tests/lib/swarm.py - a swarm of real daemons on links of a limited rate.

    with Swarm(mbit=100) as swarm:
        swarm.add_supernode(); swarm.add_nodes(5)
        digest = swarm.add_blob(16 * MIB)
        pulls = swarm.pull_all(digest)              a Pull for each node
        swarm.must_be_right(pulls, digest)
        swarm.origin_bytes(digest), node.sources()  where it all came from

The origin is the scripted registry of lib/origin.py with its sockets in a namespace of its own: it
counts what it sent and can misbehave. Every daemon has a folder of its own; its admin API is a unix
socket, which can be reached from anywhere. Names of hosts: origin, super1..., node1...
"""
import hashlib
import os
import random
import re
import shutil
import signal
import tempfile
import threading
import time

from lib import wire
from lib.clock import Stopwatch
from lib.net import Network, must
from lib.origin import Origin
from lib.proxy import Darter, binary_folder, is_instrumented, wait_until

MIB = 1024 * 1024
UPSTREAM = "test.local"
REPOSITORY = "library/swarm"
SUPERNODE_PORT = 65010
PEER_PORT = 65002
SECRET = "a secret of the swarm under test\n"
SOURCES = ("peer", "seed", "mirror", "origin")
READ_BYTES = 1 << 18
LIMIT_S = 250 if is_instrumented() else 50


class Member(Darter):
    """A daemon inside a host."""
    program = "darter-proxy"

    def __init__(self, host, upstreams, options, **more):
        super().__init__(upstreams, options, config=False, **more)
        self.host = host

    @property
    def name(self):
        return self.host.name

    def arguments(self):
        argv = super().arguments()
        argv[0] = os.path.join(binary_folder(), self.program)
        argv += ["--admin-listen", f"unix:{self.folder}/admin.sock"]
        return ["ip", "netns", "exec", self.host.name, *argv]

    def signal(self, number):
        os.kill(self.pid, number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def events(self, word):
        """Lines of the log that speak of an event, as dictionaries."""
        found = []
        for line in self.log.splitlines():
            words = line.split()
            if len(words) > 4 and words[4] == word:
                found.append(dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)))
        return found

    def metrics(self):
        """'name{labels}' -> value."""
        text = self.ask_admin("/metrics").body.decode()
        return {name: float(value)
                for name, value in re.findall(r"^([a-z]\S*(?:\{.*\})?) ([0-9.e+]+)$", text, re.M)}


class Node(Member):
    def sources(self):
        """source -> bytes of blobs that came from there since the daemon started."""
        totals = dict.fromkeys(SOURCES, 0)
        for name, value in self.metrics().items():
            match = re.match(r'darter_source_bytes_total\{.*source="(\w+)"', name)
            if match and match.group(1) in totals:
                totals[match.group(1)] += int(value)
        return totals

    def sees_supernodes(self):
        """All that it was told of, as it says."""
        states = [value for name, value in self.metrics().items()
                  if name.startswith("darter_supernode_up{")]
        return bool(states) and all(states)

    def blob_path(self, digest):
        for folder, _, names in os.walk(self.cache):
            for name in names:
                if digest.split(":")[1] in name:
                    return os.path.join(folder, name)
        return None


class Supernode(Member):
    program = "darter-supernode"

    def arguments(self):
        """The same start, without what only a node has."""
        argv = super().arguments()
        for option in ("--peer-listen", "--default-upstream"):
            if option in argv:
                at = argv.index(option)
                del argv[at:at + 2]
        return argv

    @property
    def url(self):
        return f"http://{self.host.address}:{SUPERNODE_PORT}"

    def nodes(self):
        return self.ask_admin("/v1/nodes").json()["nodes"]

    def node(self, name):
        return next((node for node in self.nodes() if node["name"] == name), None)

    def forget_everything(self):
        """Comes back with an empty cache."""
        self.stop()
        shutil.rmtree(self.cache)
        self.start()


class Pull(threading.Thread):
    """A client on the node itself, on a thread of its own: reads a blob and hashes it."""

    def __init__(self, node, digest, headers=(), is_hashed=True):
        """Not hashed: for measurements; the daemon verifies what it sends on its own."""
        super().__init__(daemon=True)
        self.content = hashlib.sha256() if is_hashed else None
        self.node = node
        self.digest = digest
        self.headers = headers
        self.n_bytes = 0
        self.first_byte_s = None
        self.seconds = None      # None until it ended
        self.error = None        # what went wrong, in words
        self.began = time.monotonic()
        self.start()

    def run(self):
        try:
            self.read()
        except (OSError, wire.CutShort) as error:
            self.error = f"{type(error).__name__}: {error}"
        self.seconds = time.monotonic() - self.began

    def read(self):
        with self.node.host.inside():
            connection = wire.Connection(self.node.address, timeout_s=60)
        self.read_from(connection)

    def read_from(self, connection):
        with connection:
            connection.send_request("GET", f"/v2/{REPOSITORY}/blobs/{self.digest}", self.headers,
                                    close=True)
            head = connection.read_head()
            size = int(head.header("Content-Length") or 0)
            if head.status != 200:
                self.error = f"status {head.status}"
                return
            self.drain(connection, size)

    def drain(self, connection, size):
        data = connection.buffer or connection.sock.recv(READ_BYTES)
        self.first_byte_s = time.monotonic() - self.began
        while data:
            if self.content:
                self.content.update(data)
            self.n_bytes += len(data)
            data = connection.sock.recv(READ_BYTES) if self.n_bytes < size else b""
        if self.n_bytes != size:
            self.error = f"cut short after {self.n_bytes} of {size} bytes"
        elif self.content and "sha256:" + self.content.hexdigest() != self.digest:
            self.error = "wrong bytes"

    @property
    def is_right(self):
        return self.seconds is not None and self.error is None

    def __repr__(self):
        state = self.error or ("right" if self.is_right else "on the way")
        return f"<{self.node.name}: {self.n_bytes} bytes in {self.seconds or 0:.2f} s, {state}>"


class Straight(Pull):
    """The same client without darter: asks the registry itself, from the same machine."""

    def read(self):
        with self.node.host.inside():
            connection = wire.Connection(self.node.registry_address, timeout_s=60)
        self.read_from(connection)


class Swarm:
    def __init__(self, mbit=100, origin_mbit=None, upstream=UPSTREAM, make_origin=Origin):
        """make_origin(host=, port=): is called inside the registry's namespace."""
        self.mbit = mbit
        self.watch = Stopwatch()
        # In memory, in our namespace of mounts: disks are not what is measured here.
        self.folder = tempfile.mkdtemp(prefix="swarm-")
        must("mount", "-t", "tmpfs", "tmpfs", self.folder)
        self.key_file = os.path.join(self.folder, "key")
        with open(self.key_file, "w", encoding="ascii",
                  opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(SECRET)
        self.net = Network()
        self.origin_host = self.net.add_host("origin", origin_mbit or mbit)
        with self.origin_host.inside():
            self.origin = make_origin(host=self.origin_host.address, port=80)
        self.upstream = upstream
        self.secret = SECRET
        self.sizes = {}
        self.supernodes = []
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        members = self.nodes + self.supernodes
        try:
            if kind is None:
                for member in members:
                    if member.process is not None:
                        member.stop()
            else:
                for member in members:
                    print(f"--- {member.name}\n{interesting(member.log)}")
        finally:
            self.origin.close()
            for member in members:
                member.clean_up()
            self.net.close()
            must("umount", "-l", self.folder)
            os.rmdir(self.folder)

    # ---- who takes part ----

    def folder_of(self, host):
        path = os.path.join(self.folder, host.name)
        os.mkdir(path)
        return path

    def p2p(self, site):
        return ["--site", site, "--cluster-key-file", self.key_file]

    def add_supernode(self, site="here", n_pair=1, mbit=None, options=()):
        """A supernode of a pair is told of the others of the site: n_pair of them come at once."""
        first = len(self.supernodes) + 1
        hosts = [self.net.add_host(f"super{first + i}", mbit or self.mbit) for i in range(n_pair)]
        added = []
        for host in hosts:
            others = [f"--peer-supernode=http://{other.address}:{SUPERNODE_PORT}"
                      for other in hosts if other is not host]
            supernode = Supernode(
                host, {self.upstream: [self.origin.url]},
                [*self.p2p(site), *others, "--name", host.name, *options],
                folder=self.folder_of(host), listen=f"{host.address}:{SUPERNODE_PORT}",
                cache_max="4GiB")
            supernode.site = site
            self.supernodes.append(supernode)
            added.append(supernode.start())
        return added

    def add_node(self, site="here", mbit=None, is_alone=False, options=(), supernodes=()):
        """is_alone: a plain mirror without a swarm. supernodes: these, not all of the site."""
        host = self.net.add_host(f"node{len(self.nodes) + 1}", mbit or self.mbit)
        more = ["--peer-listen", f"{host.address}:{PEER_PORT}"]
        if not is_alone:
            more += [*self.p2p(site), "--advertise", host.address, "--node-name", host.name]
            for supernode in supernodes or self.supernodes:
                if supernode.site == site:
                    more += ["--supernode", supernode.url]
        node = Node(host, {self.upstream: [self.origin.url]}, [*more, *options],
                    folder=self.folder_of(host), listen="127.0.0.1:65001", cache_max="4GiB")
        node.registry_address = (self.origin.host, self.origin.port)
        node.site = None if is_alone else site
        self.nodes.append(node)
        return node.start()

    def add_nodes(self, count, **more):
        return [self.add_node(**more) for _ in range(count)]

    def everybody_is_known(self):
        """Every supernode that runs has heard of every node of its site that runs, and they know."""
        for supernode in self.supernodes:
            expected = {node.name for node in self.nodes
                        if node.process is not None and node.site == supernode.site}
            wait_until(lambda: expected <= {node["name"] for node in supernode.nodes()},
                       f"{supernode.name} to know {expected}", 20)
        for node in self.nodes:
            if node.process is not None and node.site in {each.site for each in self.supernodes}:
                wait_until(node.sees_supernodes, f"{node.name} to have been answered", 20)

    # ---- blobs and pulls ----

    def add_blob(self, size):
        digest = self.origin.add_blob(REPOSITORY, random.randbytes(size))
        self.sizes[digest] = size
        return digest

    def pull_all(self, digest, nodes=None, **more):
        return [Pull(node, digest, **more) for node in nodes or self.nodes]

    def wait(self, pulls, limit_s=LIMIT_S):
        wait_until(lambda: all(pull.seconds is not None for pull in pulls), f"pulls: {pulls}",
                   limit_s)

    def must_be_right(self, pulls, limit_s=LIMIT_S):
        self.wait(pulls, limit_s)
        assert all(pull.is_right for pull in pulls), pulls
        return max(pull.seconds for pull in pulls)

    def when_moved(self, pulls, fraction):
        """Waits until these pulls together have this part of their bytes."""
        total = sum(self.sizes[pull.digest] for pull in pulls)
        wait_until(lambda: sum(pull.n_bytes for pull in pulls) >= fraction * total,
                   f"{fraction:.0%} of the bytes: {pulls}", LIMIT_S)

    # ---- figures ----

    def origin_bytes(self, digest):
        """How often the blob left the registry: 1.0 is the best there is."""
        return self.origin.blob_bytes[digest] / self.sizes[digest]

    def n_late(self, digest):
        """How often a node says that it asked the registry for some of this blob: its supernode was
        silent for a second, or a client would have waited too long. That is right, and happens to
        a supernode that is not let run, and to whole swarms under a sanitizer."""
        short = digest.split(":")[1][:12]
        return sum(short in (event.get("task"), event.get("blob")) for node in self.nodes
                   for word in ("swarm_slow", "swarm_lost") for event in node.events(word))

    def must_be_fetched(self, digest, times=1):
        """From the registry, by supernodes; and by a node or two that say why they asked, or by more
        where all stood still. Who misses one of a pair goes to the other, and that fetches it too."""
        n_late = self.n_late(digest)
        stood_still = self.watch.longest_gap_s() > 0.5
        if any(node.events("supernode_down") for node in self.nodes):
            n_late += len(self.supernodes) - 1
        why = [f"{self.origin_bytes(digest)} times", *(
            line for node in self.nodes for line in node.log.splitlines()
            if re.search(" (swarm_(slow|lost|passed|joined)|supernode_(up|down)) ", line))]
        assert n_late <= 2 or stood_still or is_instrumented(), why
        assert times <= self.origin_bytes(digest) <= times + n_late, why

    def ideal_s(self, digest):
        """S/B: the time to fill one link."""
        return self.sizes[digest] * 8 / (self.mbit * 1e6)

    def sources(self, nodes=None):
        totals = dict.fromkeys(SOURCES, 0)
        for node in nodes or self.nodes:
            for source, count in node.sources().items():
                totals[source] += count
        return totals


def interesting(log, limit=6000):
    """The end of a log, without the lines of single pieces."""
    lines = [line for line in log.splitlines() if " DEBUG " not in line]
    return "\n".join(lines)[-limit:]
