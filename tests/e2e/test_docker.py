"""Docker Engine through the daemon: registry-mirrors."""
from lib import pulls

CLIENT = "docker"


class TestPulls(pulls.AsksElsewhere):
    pass
