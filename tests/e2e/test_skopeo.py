"""skopeo through the daemon: as podman, without storage of its own."""
from lib import pulls

CLIENT = "skopeo"


class TestPulls(pulls.AsksNobodyElse):
    pass
