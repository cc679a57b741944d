"""podman through the daemon: a mirror in registries.conf. It reads blobs from where the manifest
came from, so a blob's definite 404 of the only endpoint is fatal to it, with or without a daemon."""
from lib import pulls

CLIENT = "podman"


class TestPulls(pulls.AsksNobodyElse):
    pass
