"""tests/lib/lab.py - real container clients, as root, without a service manager, on loopback alone.

    lab = Lab(); lab.origin                 registry-1.docker.io:443 with TLS: what clients fall back to
    client = Containerd(lab); client.use_mirror("http://127.0.0.1:65001")
    pull = client.pull("docker.io/library/web:latest")      pull.ok, pull.seconds, pull.output

Must run inside namespaces of its own (tests/run and tests/e2e/demo do `unshare -n -m -p`): here the
loopback is brought up, /etc/hosts, the CA bundle, /run and /var/lib/containers are mounted over. All
state is in one folder; daemons die with the namespace of processes, mounts with that of mounts, and
Lab.close() does both early. No packet can leave: there is no other interface.

Containerd, dockerd, podman and skopeo differ in how they find a mirror; use_mirror() hides that. All
keep docker.io as their last resort, so a fallback shows as requests at lab.origin. Every client
forgets a pulled image at forget(), but containerd and docker keep no blob of it then, so that the
next pull asks for everything again.
"""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

from lib import wire
from lib.origin import Origin
from lib.proxy import wait_until

NAMES = ["registry-1.docker.io", "docker.io", "index.docker.io", "auth.docker.io", "harbor.test"]
HUB = "registry-1.docker.io"
PULL_LIMIT_S = 180


class Pull:
    def __init__(self, ok, seconds, output):
        self.ok = ok
        self.seconds = seconds
        self.output = output

    def __repr__(self):
        return f"<{'ok' if self.ok else 'FAILED'} in {self.seconds:.1f} s: {self.output[-1500:]}>"


def command(argv, env=None, limit_s=PULL_LIMIT_S, cwd="/"):
    start = time.monotonic()
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, env=dict(os.environ, **(env or {})),
                             text=True, errors="replace", cwd=cwd, start_new_session=True)
    try:
        output, _ = child.communicate(timeout=limit_s)
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        status = None
    return Pull(status == 0, time.monotonic() - start, output)


def must(argv, **more):
    result = command(argv, **more)
    assert result.ok, f"{' '.join(argv)}: {result.output}"
    return result.output


class Lab:
    def __init__(self):
        assert os.environ.get("DARTER_LAB"), "not in namespaces of its own; see tests/run e2e"
        self.folder = tempfile.mkdtemp(prefix="darter-lab-")
        self.mounts = []
        self.daemons = []
        must(["ip", "link", "set", "lo", "up"])
        self.cover("/run", tmpfs=True)
        os.makedirs("/var/lib/containers", exist_ok=True)
        self.cover("/var/lib/containers", tmpfs=True)
        os.makedirs("/run/lock", exist_ok=True)
        hosts = "127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {name}\n" for name in NAMES)
        self.cover("/etc/hosts", content=hosts)
        self.make_certificates()
        self.origin = Origin(host="127.0.0.1", port=443, tls=self.server_context(), name=HUB)

    def close(self):
        self.origin.close()
        for daemon in reversed(self.daemons):
            stop(daemon)
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, *names):
        path = os.path.join(self.folder, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, name, content):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def cover(self, target, content=None, tmpfs=False):
        """Mounts something of ours over a path of the machine, in our namespace only."""
        if tmpfs:
            must(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", target])
        else:
            source = self.write("cover" + target.replace("/", "-"), content)
            must(["mount", "--bind", source, target])
        self.mounts.append(target)

    # ---- certificates ----

    def make_certificates(self):
        ca, ca_key = self.path("ca.pem"), self.path("ca.key")
        self.certificate, self.key = self.path("server.pem"), self.path("server.key")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        must(["openssl", "req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "2",
              "-subj", "/CN=lab CA", "-addext", "basicConstraints=critical,CA:TRUE"])
        names = ",".join(f"DNS:{name}" for name in [*NAMES, "localhost"]) + ",IP:127.0.0.1"
        extensions = self.write("extensions", f"subjectAltName={names}\n")
        request = self.path("server.csr")
        must(["openssl", "req", *new_key, "-keyout", self.key, "-out", request,
              "-subj", f"/CN={HUB}"])
        must(["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key,
              "-CAcreateserial", "-out", self.certificate, "-days", "2", "-extfile", extensions])
        self.ca = ca
        with open(ca, encoding="utf-8") as file:
            self.cover("/etc/ssl/certs/ca-certificates.crt", content=file.read())

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    # ---- daemons ----

    def start(self, argv, ready, name, env=None, limit_s=60):
        log = self.path(f"{name}.log")
        with open(log, "w", encoding="utf-8") as file:
            daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                      env=dict(os.environ, **(env or {})), start_new_session=True)
        self.daemons.append(daemon)

        def is_ready():
            if daemon.poll() is not None:
                with open(log, encoding="utf-8") as file:
                    raise AssertionError(f"{name} ended:\n{file.read()[-4000:]}")
            return ready()

        wait_until(is_ready, f"{name} to be ready (log: {log})", limit_s)
        return daemon


def stop(daemon):
    """The daemon and all of its session."""
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(daemon.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    daemon.wait()


def socket_answers(path):
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
        return True
    except OSError:
        return False


# ---- the clients ----

class Containerd:
    """containerd with `ctr --hosts-dir`: what certs.d/hosts.toml does for CRI."""
    name = "containerd"

    def __init__(self, lab):
        self.lab = lab
        self.socket = lab.path("containerd", "sock")
        config = lab.write("containerd/config.toml", f"""version = 2
root = "{lab.folder}/containerd/root"
state = "{lab.folder}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
""")
        lab.start(["containerd", "--config", config], self.answers, "containerd")
        self.hosts = lab.path("hosts", "x")[:-2]

    def answers(self):
        return socket_answers(self.socket) and self.ctr("version").ok

    def ctr(self, *words):
        return command(["ctr", "--address", self.socket, *words])

    def use_mirror(self, *urls):
        """The mirrors in the order they are tried, then docker.io itself."""
        text = f'server = "https://{HUB}"\n'
        for url in urls:
            text += f'[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
        self.lab.write("hosts/docker.io/hosts.toml", text)

    def pull(self, ref):
        return self.ctr("images", "pull", "--snapshotter", "native",
                        "--hosts-dir", self.hosts, ref)

    def pull_direct(self, host_port, name):
        """From the proxy by its own address, as a registry of its own: no ns, no fallback."""
        return self.ctr("images", "pull", "--snapshotter", "native", "--plain-http",
                        f"{host_port}/{name}")

    def forget(self, ref):
        self.ctr("images", "rm", "--sync", ref)

    def digest(self, ref):
        for line in self.ctr("images", "ls").output.splitlines():
            words = line.split()
            if words and words[0] == ref:
                return words[2]
        return None


class Docker:
    """dockerd, spoken to over its socket; mirrors are for Docker Hub only."""
    name = "docker"

    def __init__(self, lab, mirrors=()):
        self.lab = lab
        self.socket = lab.path("docker", "sock")
        self.daemon = None
        self.mirrors = None
        if mirrors:
            self.use_mirror(*mirrors)

    def use_mirror(self, *urls):
        """A running dockerd takes a new list with SIGHUP."""
        if urls == self.mirrors:
            return
        self.mirrors = urls
        config = self.lab.write("docker/daemon.json", json.dumps({
            "registry-mirrors": list(urls), "insecure-registries": ["127.0.0.1/32"]}))
        if self.daemon is None:
            folder = os.path.dirname(self.socket)
            self.daemon = self.lab.start(
                ["dockerd", "--config-file", config, "--data-root", f"{folder}/data",
                 "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid",
                 "--host", f"unix://{self.socket}", "--storage-driver", "vfs", "--bridge", "none",
                 "--iptables=false", "--ip6tables=false"], self.answers, "dockerd")
        else:
            self.daemon.send_signal(signal.SIGHUP)
        wait_until(self.has_mirrors, "dockerd to take its mirrors")

    def ask(self, method, target, timeout_s=PULL_LIMIT_S):
        return wire.fetch(self.socket, method, target, timeout_s=timeout_s, host="docker")

    def answers(self):
        try:
            return self.ask("GET", "/_ping").status == 200
        except (OSError, wire.CutShort):
            return False

    def has_mirrors(self):
        mirrors = self.ask("GET", "/info").json()["RegistryConfig"]["Mirrors"] or []
        return [url.rstrip("/") for url in mirrors] == [url.rstrip("/") for url in self.mirrors]

    def pull(self, ref):
        name, tag = split_tag(ref)
        query = urllib.parse.urlencode({"fromImage": name, "tag": tag})
        start = time.monotonic()
        try:
            response = self.ask("POST", f"/images/create?{query}")
        except TimeoutError:
            return Pull(False, time.monotonic() - start, "no end")
        text = response.body.decode()
        ok = response.status == 200 and response.is_complete and '"errorDetail"' not in text
        return Pull(ok, time.monotonic() - start, text)

    def forget(self, ref):
        self.ask("DELETE", f"/images/{urllib.parse.quote(ref)}?force=1")

    def digest(self, ref):
        response = self.ask("GET", f"/images/{ref}/json")
        digests = response.json().get("RepoDigests") if response.status == 200 else None
        return digests[0].split("@")[1] if digests else None


def split_tag(ref):
    if "@" in ref:
        name, digest = ref.split("@")
        return name, digest
    name, _, tag = ref.rpartition(":")
    return name, tag


class ContainersImage:
    """What podman, skopeo, buildah and CRI-O share: registries.conf."""

    def __init__(self, lab):
        self.lab = lab
        self.conf = None
        self.use_mirror()

    def use_mirror(self, *urls):
        text = '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n'
        for url in urls:
            parts = urllib.parse.urlsplit(url)
            insecure = "true" if parts.scheme == "http" else "false"
            text += f'[[registry.mirror]]\nlocation = "{parts.netloc}{parts.path}"\n' \
                    f"insecure = {insecure}\n"
        self.conf = self.lab.write(f"{self.name}/registries.conf", text)

    @property
    def env(self):
        return {"CONTAINERS_REGISTRIES_CONF": self.conf, "HOME": self.lab.folder,
                "TMPDIR": self.lab.folder, "XDG_RUNTIME_DIR": "/run"}


class Podman(ContainersImage):
    name = "podman"

    def podman(self, *words):
        folder = os.path.join(self.lab.folder, "podman")
        # Its runroot may have 50 characters at most; /run is ours in here.
        return command(["podman", "--root", f"{folder}/root", "--runroot", "/run/lab-podman",
                        "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
                        "--events-backend", "none", *words], env=self.env)

    def pull(self, ref):
        return self.podman("pull", ref)

    def forget(self, ref):
        self.podman("rmi", "--force", ref)

    def digest(self, ref):
        result = self.podman("inspect", "--type", "image", "--format", "{{.Digest}}", ref)
        return result.output.strip() if result.ok else None


class Skopeo(ContainersImage):
    name = "skopeo"

    def folder_of(self, ref):
        return self.lab.path("skopeo", "images", ref.replace("/", "_").replace(":", "_"))

    def pull(self, ref):
        target = self.folder_of(ref)
        shutil.rmtree(target, ignore_errors=True)
        return command(["skopeo", "--insecure-policy", "--registries-conf", self.conf, "copy",
                        f"docker://{ref}", f"dir:{target}"], env=self.env)

    def forget(self, ref):
        shutil.rmtree(self.folder_of(ref), ignore_errors=True)

    def digest(self, ref):
        from lib.image import digest_of
        try:
            with open(os.path.join(self.folder_of(ref), "manifest.json"), "rb") as file:
                return digest_of(file.read())
        except FileNotFoundError:
            return None


CLIENTS = {client.name: client for client in (Containerd, Docker, Podman, Skopeo)}
