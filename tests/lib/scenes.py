"""tests/lib/scenes.py - what every real client must live through, written once for all of them.

tests/e2e/test_<client>.py names its client and imports the scenes it can play. In each, the client
pulls docker.io/library/... through the daemon; docker.io itself (lab.origin) stands behind as the
client's own last resort, and its record shows whether the client had to use it.

The matrix: every fault a registry has been seen with, at the daemon's first endpoint, with a healthy
second one (the pull must end well, and docker.io must not be needed) and without one (the pull must
end well wherever it would have without the daemon).
"""
import contextlib
import itertools

from lib import faults
from lib.image import make_image, make_index
from lib.origin import Origin, SilentListener
from lib.proxy import Darter

MIB = 1024 * 1024
numbers = itertools.count(1)

# fault of blobs at the first endpoint
BLOB_FAULTS = {
    "blob 403": faults.status(403),
    "blob 404": faults.status(404),
    "blob 500": faults.status(500),
    "blob 502": faults.status(502),
    "blob 503": faults.status(503),
    "blob 429": faults.too_many(5),
    "blob closed before headers": faults.close(),
    "blob reset before headers": faults.reset(),
    "blob cut": faults.cut(40_000),
    "blob cut late": faults.cut(5 * MIB),
    "blob cut in a chunk": faults.cut(40_000, framing="chunked"),
    "blob reset in the middle": faults.cut(40_000, how="reset"),
    "blob stalls": faults.stall(40_000),
    "blob says nothing": faults.hang(),
    "blob short with fitting length": faults.short_body(500),
    "blob is a login page": faults.html(),
    "blob has a wrong byte": faults.corrupt(600),
    "blob chunked": faults.chunked(),
    "blob without length": faults.close_delimited(),
    "blob gzip-encoded": faults.gzip_encoded(),
    "blob too long": faults.extra_bytes(),
    "range answered 200": faults.ignore_range(),
    "range answered 416": faults.refuse_range(416),
    "range answered 404": faults.refuse_range(404),
    "redirect to nowhere": faults.redirect("http://127.0.0.1:1/gone"),
}
# fault of manifests, at HEAD and GET
MANIFEST_FAULTS = {
    "manifest 500": faults.status(500),
    "manifest 502": faults.status(502),
    "manifest 503": faults.status(503),
    "manifest 504": faults.status(504),
    "manifest 429": faults.too_many(5),
    "manifest closed": faults.close(),
    "manifest reset": faults.reset(),
    "manifest says nothing": faults.hang(),
    "manifest is a login page": faults.html(),
    "manifest has a wrong byte": faults.corrupt(30),
    "manifest cut": faults.cut(100),
    "manifest without digest": faults.header("Docker-Content-Digest", None),
    "manifest with a wrong digest": faults.wrong_digest_header(),
    "manifest without type": faults.header("Content-Type", None),
    "manifest of a general type": faults.header("Content-Type", "text/plain"),
    "manifest slow": faults.delay_headers(1),
}
# A definite answer of the origin: obeyed, so the client goes to docker.io by itself.
REFUSALS = {
    "manifest 401": faults.status(401),
    "manifest 403": faults.status(403),
    "manifest 404": faults.status(404),
}
# fault of HEAD alone
HEAD_FAULTS = {
    "HEAD 404": faults.status(404),
    "HEAD 405": faults.status(405),
    "HEAD length 0": faults.header("Content-Length", 0),
    "HEAD without length": faults.header("Content-Length", None),
}
OPTIONS = ["--stall-timeout", "1s", "--tag-budget", "1s", "--head-deadline", "8s"]


class Scene:
    """Two registries behind a daemon in front of a client, and docker.io behind the client."""

    def __init__(self, lab, client, n_endpoints=2, layers=(1000, 100_000), options=()):
        self.lab = lab
        self.client = client
        self.stack = contextlib.ExitStack()
        self.registries = [self.stack.enter_context(Origin()) for _ in range(n_endpoints)]
        self.repo = f"library/case{next(numbers)}-{client.name}"
        self.image = make_image(layers, docker=True)
        self.ref = f"docker.io/{self.repo}:latest"
        for registry in [*self.registries, lab.origin]:
            registry.add(self.repo, self.image, "latest")
        lab.origin.forget()
        self.darter = Darter({"docker.io": [each.url for each in self.registries]},
                             [*OPTIONS, *options])

    @property
    def first(self):
        return self.registries[0]

    def __enter__(self):
        self.stack.enter_context(self.darter)
        self.client.use_mirror(self.darter.url)
        return self

    def __exit__(self, *failure):
        self.client.forget(self.ref)
        self.lab.origin.repos.pop(self.repo, None)
        return self.stack.__exit__(*failure)

    def pull(self):
        pull = self.client.pull(self.ref)
        assert pull.ok, pull
        assert self.client.digest(self.ref) == self.image.digest
        return pull

    def used_docker_io(self):
        return self.lab.origin.count(kind="manifest") + self.lab.origin.count(kind="blob") > 0


# ---- everyday scenes ----

def cold_and_warm(lab, client):
    # Patient: where the machine stands still, bytes that are late may be asked for again.
    with Scene(lab, client, n_endpoints=1, layers=(1000, 3 * MIB, 8 * MIB),
               options=["--stall-timeout", "30s", "--head-deadline", "28s"]) as scene:
        scene.pull()
        assert not scene.used_docker_io()
        for digest, data in scene.image.blobs.items():
            assert scene.first.blob_bytes[digest] == len(data), "fetched once, and no byte twice"
        scene.client.forget(scene.ref)
        scene.first.forget()
        scene.pull()
        assert not scene.used_docker_io()
        assert scene.first.count(kind="blob", method="GET") == 0


def multi_architecture(lab, client):
    with Scene(lab, client, n_endpoints=1) as scene:
        index = make_index([scene.image, make_image(docker=True)], docker=True)
        scene.first.add(scene.repo, index, "multi")
        ref = scene.ref.replace(":latest", ":multi")
        pull = client.pull(ref)
        assert pull.ok, pull
        assert not scene.used_docker_io()
        client.forget(ref)


def oci_types(lab, client):
    with Scene(lab, client, n_endpoints=1) as scene:
        scene.first.add(scene.repo, make_image(), "oci")
        ref = scene.ref.replace(":latest", ":oci")
        pull = client.pull(ref)
        assert pull.ok, pull
        assert not scene.used_docker_io()
        client.forget(ref)


def by_digest(lab, client):
    with Scene(lab, client, n_endpoints=1) as scene:
        ref = f"docker.io/{scene.repo}@{scene.image.digest}"
        pull = client.pull(ref)
        assert pull.ok, pull
        assert not scene.used_docker_io()
        client.forget(ref)


def upstream_away_after_a_pull(lab, client):
    with Scene(lab, client, n_endpoints=1, options=["--tag-fresh", "0s"]) as scene:
        scene.pull()
        client.forget(scene.ref)
        scene.first.close()
        scene.pull()
        assert not scene.used_docker_io()


def daemon_not_running(lab, client):
    with Scene(lab, client) as scene:
        scene.darter.stop()
        scene.pull()
        assert scene.used_docker_io()
        scene.darter.start()


def registry_that_the_daemon_does_not_know(lab, client):
    """A quick 404 sends the client to the registry itself."""
    with Scene(lab, client) as scene:
        for registry in scene.registries:
            registry.repos.clear()
        scene.pull()
        assert scene.used_docker_io()


# ---- the matrix ----

def fault_with_a_healthy_second(lab, client, name):
    large = name in ("blob cut late",)
    layers = (1000, 8 * MIB) if large else (1000, 100_000)
    with Scene(lab, client, layers=layers) as scene:
        if name in BLOB_FAULTS:
            # The config blob is small: cutting it at 40,000 bytes leaves it whole, as it should.
            scene.first.misbehave(BLOB_FAULTS[name], kind="blob", method="GET")
        elif name in HEAD_FAULTS:
            scene.first.misbehave(HEAD_FAULTS[name], kind="manifest", method="HEAD")
        else:
            scene.first.misbehave({**MANIFEST_FAULTS, **REFUSALS}[name], kind="manifest")
        scene.pull()
        if name not in REFUSALS and name != "HEAD 404":
            assert not scene.used_docker_io(), "the daemon left the client to help itself"


def fault_at_the_only_endpoint(lab, client, name):
    """The first request of each object fails; docker.io and a second try may help."""
    with Scene(lab, client, n_endpoints=1) as scene:
        fields = {"kind": "blob" if name in BLOB_FAULTS else "manifest"}
        fault = {**BLOB_FAULTS, **MANIFEST_FAULTS}[name]
        failed = set()

        def first_time(request):
            is_new = (request.method, request.ref) not in failed
            failed.add((request.method, request.ref))
            return is_new and request.method == "GET"

        scene.first.misbehave(fault, when=first_time, **fields)
        scene.pull()
        if name.endswith("says nothing"):
            assert not scene.used_docker_io(), "one swallowed request ended the pull here"


def endpoint_down_for_good(lab, client, fault):
    """Nothing but docker.io is left, and the client must get there in time."""
    with Scene(lab, client, n_endpoints=1, options=["--head-deadline", "2s"]) as scene:
        scene.first.misbehave(fault)
        scene.pull()
        assert scene.used_docker_io()


def first_endpoint_drops_packets(lab, client):
    with Scene(lab, client) as scene, SilentListener() as silent:
        scene.darter.stop()
        scene.darter.upstreams = {"docker.io": [silent.url, scene.registries[1].url]}
        scene.darter.start()
        client.use_mirror(scene.darter.url)
        scene.pull()
        assert not scene.used_docker_io()
