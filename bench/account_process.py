#!/usr/bin/env python3
"""Whole-process cost of `sealgrad epsilon`: start, account, print. Random settings, log-uniform over q 1e-7..1, sigma
0.2..200, T 1..1e8, delta 1e-15..0.1. Usage: account_process.py PROGRAM [N [SEED]]; one JSON object, CPU (user + system)
and wall time in ms."""

import json
import math
import os
import random
import subprocess
import sys
import time


def one(program, chance):
    draw = lambda low, high: math.exp(chance.uniform(math.log(low), math.log(high)))
    arguments = [program, "epsilon", "--json", "--sample-rate", repr(draw(1e-7, 1)), "--noise-multiplier",
                 repr(draw(0.2, 200)), "--steps", str(int(draw(1, 1e8))), "--delta", repr(draw(1e-15, 0.1))]
    start = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"failed: {' '.join(arguments)}")
    return 1e3 * (used.ru_utime + used.ru_stime), 1e3 * wall


def summary(values):
    values = sorted(values)
    n = len(values)
    return {"median": round(values[n // 2], 2), "p90": round(values[n * 9 // 10], 2),
            "p99": round(values[n * 99 // 100], 2), "max": round(values[-1], 2)}


def main():
    program = sys.argv[1]
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    chance = random.Random(seed)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times = [one(program, chance) for _ in range(n)]
    print(json.dumps({"settings": n, "seed": seed, "cpu_ms": summary([t[0] for t in times]),
                      "wall_ms": summary([t[1] for t in times])}))


if __name__ == "__main__":
    main()
