"""tests/lib/net.py - machines on one wire: network namespaces, a bridge, links of a limited rate.

    net = Network()
    host = net.add_host("node1", mbit=100)     a namespace with one link, 100 Mbit/s each way
    host.start([program, ...], log)            a process inside it
    with host.inside(): socket.create_server(...)

Must run inside namespaces of its own (tests/run swarm, tests/swarm/demo and tests/bench/run do
NAMESPACES): the bridge is there, and whatever ends that namespace of processes, a kill
included, takes processes, links and mounts with it. The machine's own network is never touched.

A link's rate holds for frames, both ways (tbf at both ends of a veth pair): a byte of payload costs
about 1.045 bytes of it. There is no delay other than that of the queues,
except for a host that asked for one: delay().
"""
import contextlib
import ctypes
import fcntl
import glob
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

NAMESPACES = ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc",
              "--propagation", "private"]
NETWORK = "198.18"  # RFC 2544: for benchmarks of devices
CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x1f, 0x24, 0x2c)  # set: transmit checksums, TSO, GSO, GRO
ETH_P_ALL = 3
ETHERTYPE_IP = b"\x08\x00"
PROTOCOL_TCP = 6
FRAME_MAX = 70_000
NO_NEIGHBOUR = ("FAILED", "INCOMPLETE")  # asked for, never answered: nothing was sent
libc = ctypes.CDLL(None, use_errno=True)


def must(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}"
    return done.stdout


def enter_namespace(fd):
    """For this thread alone."""
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    def __init__(self, name, address, mbit):
        self.name = name
        self.address = address
        self.mbit = mbit
        self.processes = []
        self.fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)

    def command(self, *argv):
        return must("ip", "netns", "exec", self.name, *argv)

    def start(self, argv, log=None, **more):
        """`ip netns exec` becomes the program: the process id is the program's."""
        out = log or subprocess.DEVNULL
        more = {"stdout": out, "stderr": out, **more}
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, argv)],
                                   stdin=subprocess.DEVNULL, start_new_session=True, **more)
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes meanwhile belong to the host."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        try:
            enter_namespace(self.fd)
            yield
        finally:
            enter_namespace(home)
            os.close(home)

    def limit(self, mbit):
        """A burst of 4 ms, but room for the largest packet that TCP hands down whole."""
        self.mbit = mbit
        burst = str(max(68_000, int(mbit * 1e6 / 8 * 0.004)))
        shape = ["root", "tbf", "rate", f"{mbit * 1000:.0f}kbit", "burst", burst, "latency", "50ms"]
        self.command("tc", "qdisc", "replace", "dev", "eth0", *shape)
        must("tc", "qdisc", "replace", "dev", self.name, *shape)

    def cut(self):
        """The cable is pulled: nothing comes or goes, and nobody is told."""
        must("ip", "link", "set", self.name, "nomaster")

    def plug(self):
        must("ip", "link", "set", self.name, "master", "wire")

    def delay(self, milliseconds):
        """From now on every frame takes so long, each way. For small traffic: it is done here."""
        middle = f"{self.name}d"[-15:]
        must("ip", "link", "add", f"{middle}a", "type", "veth", "peer", "name", f"{middle}b")
        for end in (f"{middle}a", f"{middle}b"):
            must("ip", "link", "set", end, "up")
        must("ip", "link", "set", self.name, "nomaster")
        must("ip", "link", "set", f"{middle}b", "master", "wire")
        with self.inside():
            no_offloads("eth0")
        for one, other in ((self.name, f"{middle}a"), (f"{middle}a", self.name)):
            Delay(one, other, milliseconds / 1e3)

    def neighbours(self):
        """Addresses that an IP packet was ever sent to: each had to be asked for its MAC first."""
        lines = self.command("ip", "neigh", "show", "dev", "eth0").splitlines()
        return {line.split()[0] for line in lines if line.split()[-1] not in NO_NEIGHBOUR}

    def carried(self):
        """(bytes sent, bytes received) by the link so far, frames with their headers."""
        words = self.command("cat", "/sys/class/net/eth0/statistics/tx_bytes",
                             "/sys/class/net/eth0/statistics/rx_bytes").split()
        return int(words[0]), int(words[1])

    def close(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(self.fd)


def no_offloads(device):
    """Frames are whole and have their checksums: they will be read and sent again by hand."""
    with socket.socket() as sock:
        for what in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", what, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(sock, SIOCETHTOOL, request)


def raw_socket(device, protocol=ETH_P_ALL):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind((device, protocol))
    return sock


class Delay:
    """Carries frames that arrive at one device out of another one, later. One direction."""

    def __init__(self, device, other, seconds):
        self.source, self.sink = raw_socket(device), raw_socket(other, 0)
        self.seconds = seconds
        sys.setswitchinterval(0.0002)  # threads that only wait must not wait for each other
        self.waiting = queue.SimpleQueue()
        for work in (self.read, self.write):
            threading.Thread(target=work, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError):  # the device is gone: so are we
            while True:
                frame, address = self.source.recvfrom(FRAME_MAX)
                if address[2] != socket.PACKET_OUTGOING:
                    self.waiting.put((time.monotonic() + self.seconds, frame))

    def write(self):
        with contextlib.suppress(OSError):
            while True:
                due, frame = self.waiting.get()
                time.sleep(max(0, due - time.monotonic()))  # the delay itself
                self.sink.send(frame)


class Tap:
    """Counts the payload of TCP to and from one port of a host, seen at its end of the wire."""

    def __init__(self, host, port):
        self.sock = raw_socket(host.name)  # one protocol alone would hide what goes out
        self.sock.settimeout(0.1)
        self.port = port
        self.address = socket.inet_aton(host.address)
        self.received = self.sent = 0
        self.is_over = False
        self.thread = threading.Thread(target=self.count, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()
        self.sock.close()

    def count(self):
        """What the host receives leaves at this device, and comes in here when it sends."""
        while True:
            try:
                frame = self.sock.recv(256, socket.MSG_TRUNC)
            except TimeoutError:
                if self.is_over:
                    return
                continue
            if frame[12:14] == ETHERTYPE_IP:
                self.count_packet(frame[14:])

    def count_packet(self, packet):
        total, protocol = struct.unpack_from(">2xH5xB", packet)
        if protocol != PROTOCOL_TCP:
            return
        head = (packet[0] & 15) * 4
        source, target = struct.unpack_from(">HH", packet, head)
        payload = total - head - (packet[head + 12] >> 4) * 4
        if packet[16:20] == self.address and target == self.port:
            self.received += payload
        elif packet[12:16] == self.address and source == self.port:
            self.sent += payload


class Network:
    congestion = None  # TCP's congestion control on all hosts; None = this machine's

    def __init__(self):
        assert os.environ.get("DARTER_LAB"), "not in namespaces of its own; see tests/run swarm"
        self.hosts = {}
        self.n_addresses = 0
        must("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        must("ip", "link", "set", "lo", "up")
        must("ip", "link", "add", "wire", "type", "bridge")
        must("ip", "link", "set", "wire", "up")
        # A firewall of the machine that looks at every frame of a bridge is none of our business.
        for knob in glob.glob("/proc/sys/net/bridge/bridge-nf-call-*"):
            with open(knob, "w", encoding="ascii") as file:
                file.write("0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def add_host(self, name, mbit):
        """The name is that of its end of the wire too: at most 15 characters."""
        self.n_addresses += 1
        address = f"{NETWORK}.{self.n_addresses // 250}.{self.n_addresses % 250 + 1}"
        must("ip", "netns", "add", name)
        must("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        must("ip", "link", "set", name, "master", "wire", "up")
        host = Host(name, address, mbit)
        self.hosts[name] = host
        host.command("ip", "addr", "add", f"{address}/16", "dev", "eth0")
        host.command("ip", "link", "set", "eth0", "up")
        host.command("ip", "link", "set", "lo", "up")
        if self.congestion:
            host.command("sysctl", "-qw", f"net.ipv4.tcp_congestion_control={self.congestion}")
        host.limit(mbit)
        return host

    def remove_host(self, host):
        host.close()
        del self.hosts[host.name]
        must("ip", "netns", "del", host.name)
        # The namespace lives until its last socket is gone; its link need not wait for that.
        subprocess.run(["ip", "link", "del", host.name], check=False, stderr=subprocess.DEVNULL)

    def close(self):
        for host in list(self.hosts.values()):
            self.remove_host(host)
        must("ip", "link", "del", "wire")
        must("umount", "-l", "/run")
