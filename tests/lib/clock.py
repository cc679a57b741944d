"""tests/lib/clock.py - how long something took, without the time in which this machine stood still.

    watch = Stopwatch()
    ... what must not take long ...
    assert watch.seconds() < 3          upper limits are held in time that was ours
    watch.longest_gap_s()               what was not

A thread wakes up fifty times a second and notes when it was kept from it. That sees a machine that
was taken away and a test that was not let run; a daemon that stands still alone it does not see.
"""
import threading
import time

BEAT_S = 0.02
GAP_S = 0.1   # shorter ones are everyday life


class Pulse(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.beat = threading.Condition()
        self.n_beats = 0
        self.gaps = []            # (when it ended, how long it was), in order

    def run(self):
        last = time.monotonic()
        while True:
            time.sleep(BEAT_S)
            now = time.monotonic()
            with self.beat:
                if now - last - BEAT_S > GAP_S:
                    self.gaps.append((now, now - last - BEAT_S))
                self.n_beats += 1
                self.beat.notify_all()
            last = now

    def gaps_since(self, began):
        """In seconds. Waits for the next beat: we may be awake before it is."""
        with self.beat:
            seen = self.n_beats
            self.beat.wait_for(lambda: self.n_beats > seen)
            return [min(gap, ended - began) for ended, gap in self.gaps if ended > began]


PULSE = Pulse()
PULSE.start()


class Stopwatch:
    def __init__(self):
        self.began = time.monotonic()

    def seconds(self):
        """That were ours."""
        took = time.monotonic() - self.began
        return took - sum(PULSE.gaps_since(self.began))

    def longest_gap_s(self):
        return max(PULSE.gaps_since(self.began), default=0)
