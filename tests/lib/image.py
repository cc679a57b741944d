"""tests/lib/image.py - container images made of random bytes, so that no cache knows them before.

    image = make_image(layer_sizes=[1000, 300_000])       OCI; docker=True for schema 2
    image.manifest, image.digest, image.media_type        exact bytes, their name, their type
    image.blobs                                            digest -> bytes (config and layers)
    index = make_index([image, other])                     an image index or manifest list

Layers are real: gzip around a tar with one random file, with right diff ids in the config, so every
client can unpack them.
"""
import gzip
import hashlib
import io
import json
import os
import tarfile

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ALL_MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Image:
    def __init__(self, manifest, media_type, blobs, layers=(), children=()):
        self.manifest = manifest
        self.media_type = media_type
        self.digest = digest_of(manifest)
        self.blobs = blobs                # digest -> bytes, of this image alone
        self.layers = list(layers)        # digests
        self.children = list(children)    # images of an index

    @property
    def size(self):
        return sum(len(data) for data in self.blobs.values())

    def every_manifest(self):
        yield self
        for child in self.children:
            yield from child.every_manifest()


def descriptor(media_type, data, **more):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def make_layer(size, name=None):
    """(gzip bytes, diff id): a tar with one file of `size` random bytes, stored, not compressed."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        info = tarfile.TarInfo(name or f"data-{os.urandom(6).hex()}")
        info.size = size
        info.mode = 0o644
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    tar_bytes = raw.getvalue()
    return gzip.compress(tar_bytes, compresslevel=0, mtime=0), digest_of(tar_bytes)


def make_image(layer_sizes=(1000, 50_000), docker=False, architecture="amd64", **more):
    """An image with one layer for each size. More keys go into the manifest (subject, ...)."""
    layer_type = DOCKER_LAYER if docker else OCI_LAYER
    layers, diff_ids = [], []
    for size in layer_sizes:
        data, diff_id = make_layer(size)
        layers.append(data)
        diff_ids.append(diff_id)
    config = json.dumps({
        "architecture": architecture, "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["/none"], "Labels": {"random": os.urandom(8).hex()}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }).encode()
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": media_type,
        "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config),
        "layers": [descriptor(layer_type, data) for data in layers], **more,
    }, indent=3).encode()
    blobs = {digest_of(data): data for data in [config, *layers]}
    return Image(manifest, media_type, blobs, layers=[digest_of(data) for data in layers])


def make_index(images, docker=False, **more):
    architectures = ["amd64", "arm64", "s390x", "ppc64le"]
    media_type = DOCKER_LIST if docker else OCI_INDEX
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": media_type,
        "manifests": [
            descriptor(image.media_type, image.manifest,
                       platform={"os": "linux", "architecture": architecture})
            for image, architecture in zip(images, architectures)], **more,
    }, indent=3).encode()
    return Image(manifest, media_type, {}, children=images)
