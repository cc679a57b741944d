"""tests/bench/swarm_rows.py - the rows of tests/bench/run that are about swarms.

Real ones run tests/bench/swarm (its own namespaces, the real daemons, links of a limited rate); the
simulated ones run tests/sim/swarm (the real planner, virtual time).
"""
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
FRAME_OVERHEAD = 1.045  # bytes on the wire for one of payload
LIMIT_S = 900


def run_json(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=LIMIT_S,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"{argv}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_swarm(b, *options):
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return run_json(HERE / "swarm", "--bin", b.bin, "--build", b.build, "--congestion", congestion,
                    *options)


def compare(b, say, nodes, mbit, mib, runs):
    """Through the swarm and all from the registry, on the same links in the same run."""
    shape = ["--nodes", nodes, "--mbit", mbit, "--mib", mib]
    swarm = run_swarm(b, *shape, "--runs", runs)
    alone = run_swarm(b, *shape, "--alone")
    say(f"## Swarm: {nodes} nodes x {mbit} Mbit/s, {mib} MiB, in S/B (the time to fill one link)")
    say("| | last node | median node | origin bytes | from peers | from the seed |")
    say("|---|---|---|---|---|---|")
    for name, r in (("swarm", swarm), ("all from the registry", alone)):
        say(f"| {name} | {r['last']:.3f} | {r['median']:.3f} | {r['origin']:.2f}x "
            f"| {r['from_peer']:.0%} | {r['from_seed']:.0%} |")
    say()
    say(f"Runs of the swarm: {', '.join(f'{last:.3f}' for last in swarm['all_last'])}. "
        f"A node used {swarm['node_cpu_s']:.2f} CPU seconds. Headers of packets alone cost "
        f"{FRAME_OVERHEAD} of such a link.")


def row_swarm_8(b, say):
    compare(b, say, 8, 200, 128, 3)


def row_swarm_32(b, say):
    compare(b, say, 32, 50, 32, 3)


def row_swarm_sim(b, say):
    say("## Simulated swarm: 10,000 nodes, 1 GiB, the real planner (docs/internals/scheduler.md)")
    say("| | last node | p99 | origin bytes | assignments per CPU second |")
    say("|---|---|---|---|---|")
    for name, overhead in (("payload alone", 1), ("with headers of packets", FRAME_OVERHEAD)):
        r = run_json(b.build / "tests/sim/swarm", "--nodes", 10000, "--size", "1GiB", "--batch", 20,
                     "--plan", 5, "--overhead", overhead, "--json")
        say(f"| {name} | {r['last']:.3f} | {r['p99']:.3f} | {r['origin_x']:.2f}x "
            f"| {r['assigned_per_cpu_s'] / 1e6:.2f} M |")


def row_swarm_small(b, say):
    say("## A cold blob of 10 KiB: through the swarm / straight from the registry")
    r = run_swarm(b, "--small", "--runs", 31, "--delay", 40)
    say("| round trip ms | straight ms | swarm ms | more round trips |")
    say("|---|---|---|---|")
    say(f"| {r['round_trip_ms']:.0f} | {r['straight_ms']:.1f} | {r['swarm_ms']:.1f} "
        f"| {r['more_round_trips']:.2f} |")


def row_swarm_cost(b, say):
    """What a blob costs, a real swarm of few says: bytes from the registry in and out again. What a
    node costs beside that, a crowd says that reports pieces without fetching them. A blob of 64 MiB,
    of 128 MiB and of 1 GiB all have 256 pieces, so a node costs as much for one as for the other."""
    real = run_swarm(b, "--nodes", 4, "--mbit", 200, "--mib", 128)
    crowd = run_swarm(b, "--load", "--nodes", 200, "--mib", 64, "--pieces", 256)
    cpu_s = crowd["cpu_s_per_1000_nodes"] + 8 * real["supernode_cpu_s"]
    say("## What a supernode costs (a crowd of 200 nodes and a real swarm of 4, scaled)")
    say("| | |")
    say("|---|---|")
    say(f"| CPU seconds for 1,000 nodes x 1 GiB | {cpu_s:.1f} |")
    say(f"| control traffic for 1 GiB (256 pieces) to one node "
        f"| {real['control_bytes_per_gib'] / 8 / 1024:.0f} KiB |")
    say(f"| memory for one node in a task of 256 pieces "
        f"| {crowd['memory_per_node'] / 1024:.1f} KiB |")


ROWS = {"swarm-8": row_swarm_8, "swarm-32": row_swarm_32, "swarm-sim": row_swarm_sim,
        "swarm-small": row_swarm_small, "swarm-cost": row_swarm_cost}
