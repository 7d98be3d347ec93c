#!/usr/bin/env python3
"""Kills a short run at random moments and asks the ledger what it knows.

usage: kill_run.py N [SEED], in a folder with the journey's files (book.bash); sealgrad on the PATH. After each kill -9:
verify is never 3; a run whose start was durable and whose end was not is named, with exit status 4; the reservation stands;
no model file is a part; and at the end a following run works. Prints where the kills fell. Exit status 1 on the first fault.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

LEDGER = ["--ledger", "ledger.db", "--key", "keys/signing.key"]
TRAIN = ["sealgrad", "train", "kill.yaml", *LEDGER, "--out", "m", "--quiet", "--json", "--workers", "1"]


def ask(*command):
    done = subprocess.run(["sealgrad", *command], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def fail(what, *more):
    print("FAULT:", what, *more)
    sys.exit(1)


def reset():
    for name in ("ledger.db", "ledger.db.side.db"):
        shutil.copy("fresh-" + name, name)
    for name in ("ledger.db-journal", "ledger.db.side.db-journal"):
        if os.path.exists(name):
            os.remove(name)
    shutil.rmtree("m", ignore_errors=True)


def start():
    """A run in a process group of its own, stopped by itself or by us."""
    return subprocess.Popen(TRAIN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def duration():
    took = []
    for _ in range(3):
        reset()
        begin = time.monotonic()
        job = start()
        out, err = job.communicate()
        took.append(time.monotonic() - begin)
        if job.returncode:
            fail("the run itself", err.decode())
    return max(took)


def check(moment):
    """What the killed run left, as one of: nothing, unfinished, complete."""
    had_journal = os.path.exists("ledger.db-journal")
    code, text, err = ask("ledger", "verify", "ledger.db", "--trust", "keys/signing.pub", "--allow-unwitnessed", "--json")
    if code not in (0, 4):
        fail(f"verify says {code} after a kill at {moment:.4f} s", text, err)
    verdict = json.loads(text)
    code_runs, text, err = ask("ledger", "runs", "ledger.db", "--json")
    if code_runs:
        fail("runs", code_runs, err)
    runs = objects(text)
    code_budget, text, err = ask("budget", "customers", "--ledger", "ledger.db", "--json")
    if code_budget:
        fail("budget", code_budget, err)
    budget = json.loads(text)
    if not runs:
        if code != 0 or budget["epsilon_spent"] != 0 or os.path.exists("m/model.safetensors"):
            fail("no run, but", code, budget, os.listdir("."))
        return "nothing", had_journal
    if len(runs) != 1 or not 0 < budget["epsilon_spent"] <= 3:
        fail("one run and its reservation expected", runs, budget)
    if runs[0]["status"] == "complete":
        if code != 0:
            fail("a complete run, but verify says", code)
        return "complete", had_journal
    named = any(runs[0]["run_id"] in p["place"] + p["text"] for p in verdict["problems"])
    if code != 4 or not named or runs[0]["status"] != "running" or budget["open_runs"] != 1:
        fail("an unfinished run must be named", code, verdict, runs, budget)
    return "unfinished", had_journal


def follow():
    """The ledger of the killed run takes another dataset of other people and their run."""
    for command in (["dataset", "register", "book.csv", "--schema", "schema.yaml", *LEDGER, "--name", "next", "--population", "others",
                     "--population-size", "500", "--epsilon-limit", "4", "--delta-limit", "1e-4", "--quiet"],
                    ["train", "next.yaml", *LEDGER, "--out", "m-next", "--quiet", "--json"]):
        code, text, err = ask(*command)
        if code:
            fail("a following run", command, code, err)
    code, text, _ = ask("ledger", "verify", "ledger.db", "--trust", "keys/signing.pub", "--allow-unwitnessed", "--json")
    if code not in (0, 4):
        fail("after a following run verify says", code, text)
    shutil.rmtree("m-next")


def main():
    n = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for name in ("ledger.db", "ledger.db.side.db"):
        shutil.copy(name, "fresh-" + name)
    config = open("train.yaml").read().replace("  steps: 20", "  steps: 100").replace("hidden: 4", "hidden: 8")
    open("kill.yaml", "w").write(config)
    open("next.yaml", "w").write(config.replace("dataset: book", "dataset: next").replace("  steps: 100", "  steps: 2"))
    length = duration()
    fell = {"nothing": 0, "unfinished": 0, "complete": 0}
    journals = 0
    for i in range(n):
        reset()
        moment = draw.uniform(0, 1.05 * length)
        job = start()
        time.sleep(moment)
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
        what, had_journal = check(moment)
        fell[what] += 1
        journals += had_journal
        if i % 5 == 0:
            follow()
    print(f"{n} kills within {length:.3f} s: " + ", ".join(f"{k} {v}" for k, v in fell.items()) + f"; a hot journal {journals} times")
    if n >= 20 and fell["unfinished"] == 0:
        fail("no kill fell into a run: the test showed nothing")


main()
