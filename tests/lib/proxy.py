"""tests/lib/proxy.py - starts, asks and stops the daemon under test.

    with Darter({"test.local": [origin.url]}) as darter:
        response = darter.get("/v2/library/web/manifests/latest?ns=test.local")

Every daemon has a folder of its own (cache, log) and free ports. stop() demands that it ends with
status 0 after SIGTERM and that no sanitizer had anything to say; so does leaving the `with` block.
The first upstream is the default one, so tests may leave `ns` out.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from lib import wire
from lib.image import ALL_MANIFEST_TYPES

READY_LIMIT_S = 30
STOP_LIMIT_S = 30
ACCEPT_ALL = [("Accept", media_type) for media_type in ALL_MANIFEST_TYPES]
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                       r"SUMMARY: \w*Sanitizer|assertion failed)")
running = []  # daemons, for who reports a failure


def binary_folder():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("DARTER_BIN") or os.path.join(here, "../../build/bin")


def is_instrumented():
    """Sanitizer builds are slower; limits of time may look here."""
    return "asan" in binary_folder() or "tsan" in binary_folder()


def wait_until(condition, what, limit_s=20):
    """Asks until the condition is true; returns its value."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s} s for {what}")
        time.sleep(0.01)  # the pace of asking, not a guess of when


def quiet_port(host="127.0.0.1"):
    """A free port that is still free when a daemon comes back to it: below those that the kernel hands
    out to connections."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((host, port))
            return port


def where_threads_are(pid):
    """For a daemon that hangs: each thread's name, state, and where the kernel has it waiting."""
    def read(task, name):
        try:
            with open(f"/proc/{pid}/task/{task}/{name}", encoding="utf-8") as file:
                return " ".join(file.read().split())
        except OSError as error:
            return error.strerror
    return "\n".join(f"{read(task, 'comm')}: state {read(task, 'stat').rsplit(')')[-1][:2].strip()}, "
                     f"syscall {read(task, 'syscall')}, {read(task, 'stack')}"
                     for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int))


class Darter:
    def __init__(self, upstreams, options=(), folder=None, config=None, env=None, cache_max="1GiB",
                 listen="127.0.0.1:0"):
        """upstreams: name -> [endpoint URLs in order]. options: more flags. config: YAML text;
        False = no file at all."""
        self.upstreams = upstreams
        self.options = list(options)
        self.owns_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="darter-")
        self.cache = os.path.join(self.folder, "cache")
        self.config = config
        self.env = env or {}
        self.cache_max = cache_max
        self.listen = listen
        self.may_hit_file_limit = False
        self.process = None
        self.log = ""             # all that it said on stderr, of every start
        self.address = self.admin = self.peer = None
        self.reader = None

    # ---- life ----

    def __enter__(self):
        running.append(self)
        try:
            self.start()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.process is not None:
                self.stop()
        finally:
            if kind is not None:
                print(f"--- the daemon's log\n{self.log[-6000:]}")
            self.clean_up()

    def clean_up(self):
        if self in running:
            running.remove(self)
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def shared_arguments(self):
        """What every daemon of ours is told: its file and its upstreams."""
        argv = []
        config = os.path.join(self.folder, "darter.yaml")
        if self.config is not False:
            with open(config, "w", encoding="utf-8") as file:
                file.write(self.config or "# nothing set here\n")
            argv += ["--config", config]
        for name, urls in self.upstreams.items():
            argv += ["--upstream", f"{name}={','.join(urls)}"]
        return argv

    def arguments(self):
        argv = [os.path.join(binary_folder(), "darter-proxy"),
                "--listen", self.listen, "--peer-listen", "127.0.0.1:0",
                "--admin-listen", "127.0.0.1:0", "--cache-dir", self.cache,
                "--cache-max", self.cache_max, "--log-level", "debug"]
        argv += self.shared_arguments()
        if self.upstreams:
            argv += ["--default-upstream", next(iter(self.upstreams))]
        return argv + self.options

    def start(self):
        self.process = subprocess.Popen(
            self.arguments(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder,
            env=dict(os.environ, **self.env), text=True, errors="replace",
            # A write over RLIMIT_FSIZE is then an error of the disk and not the end.
            restore_signals=not self.may_hit_file_limit)
        seen = len(self.log)
        self.reader = threading.Thread(target=self.read_log, args=(self.process.stderr,),
                                       daemon=True)
        self.reader.start()

        def ready():
            if self.process.poll() is not None:
                self.reader.join()
                raise AssertionError(f"the daemon ended with status {self.process.returncode} "
                                     f"instead of serving:\n{self.log[-4000:]}")
            return re.search(r"^.*\bready\b.*listen=.*$", self.log[seen:], re.M)

        line = wait_until(ready, "the daemon to be ready", READY_LIMIT_S).group(0)
        self.address = self.parse_address(line, "listen")
        self.admin = self.parse_address(line, "admin")
        self.peer = self.parse_address(line, "peer")
        return self

    @staticmethod
    def parse_address(line, name):
        match = re.search(rf'\b{name}="?([^\s"]+)', line)
        if not match or match.group(1) == "closed":
            return None
        if match.group(1).startswith("unix:"):
            return match.group(1)[5:]
        host, port = match.group(1).rsplit(":", 1)
        return host, int(port)

    def read_log(self, pipe):
        for line in pipe:
            self.log += line

    def stop(self):
        """SIGTERM; it must end cleanly."""
        self.process.send_signal(signal.SIGTERM)
        self.finish(0)

    def kill(self):
        """SIGKILL, as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process = None

    def finish(self, expected_status):
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            threads = where_threads_are(self.process.pid)
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"the daemon did not end within {STOP_LIMIT_S} s:\n{threads}\n"
                                 f"{self.log[-4000:]}") from None
        finally:
            self.reader.join()
            self.process = None
        assert status == expected_status, f"exit status {status}:\n{self.log[-6000:]}"
        assert not SANITIZER.search(self.log), f"sanitizer report:\n{self.log[-8000:]}"

    def restart(self):
        self.stop()
        return self.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}"

    # ---- asking ----

    def fetch(self, method, target, headers=(), body=b"", **more):
        return wire.fetch(self.address, method, target, headers, body, **more)

    def get(self, target, headers=(), **more):
        return self.fetch("GET", target, headers, **more)

    def head(self, target, headers=(), **more):
        return self.fetch("HEAD", target, headers, **more)

    def manifest(self, repo, ref, headers=(), method="GET", **more):
        return self.fetch(method, f"/v2/{repo}/manifests/{ref}", [*headers, *ACCEPT_ALL], **more)

    def blob(self, repo, digest, headers=(), method="GET", **more):
        return self.fetch(method, f"/v2/{repo}/blobs/{digest}", headers, **more)

    def pull(self, repo, ref, image, headers=()):
        """What a runtime does: the tag, then all blobs. Every byte must be right."""
        manifest = self.manifest(repo, ref, headers)
        assert manifest.status == 200 and manifest.body == image.manifest, manifest
        for digest, data in image.blobs.items():
            blob = self.blob(repo, digest, headers)
            assert blob.status == 200 and blob.is_complete and blob.body == data, blob
        return manifest

    def can_pull(self, repo, ref, image, headers=()):
        """For wait_until(), where a registry that stood still for a moment may cost a pull."""
        try:
            self.pull(repo, ref, image, headers)
        except AssertionError:
            return False
        return True

    def log_so_far(self):
        """The log with all that was said before this moment. Lines are written by a thread of the
        daemon and read by one of ours: a question of a name of its own is the last one."""
        mark = f"/v1/mark-{os.urandom(8).hex()}"
        self.ask_admin(mark)
        wait_until(lambda: mark in self.log, "the log's last line")
        return self.log

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def connect(self, **more):
        return wire.Connection(self.address, **more)

    def ask_admin(self, target, method="GET", headers=(), body=b""):
        return wire.fetch(self.admin, method, target, headers, body, host="localhost")

    def metric(self, name):
        """The sum of all samples of one metric (any labels)."""
        text = self.ask_admin("/metrics").body.decode()
        samples = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M)
        assert samples, f"no metric {name} in:\n{text}"
        return sum(map(float, samples))
