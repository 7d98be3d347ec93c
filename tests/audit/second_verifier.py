"""Would catch: a format document that does not say what the program does, and attacks that only one of two independent verifiers
sees. Both must give the same exit status on every fixture, good and bad.

    second_verifier.py SEALGRAD MAKE_FIXTURE VERIFY_LEDGER_PY
"""
import argparse
import base64
import contextlib
import importlib.util
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sealgrad, make_fixture, module_path = sys.argv[1:4]
if not shutil.which("openssl"):
    print("skipped: the second verifier needs the openssl command")
    sys.exit(77)
spec = importlib.util.spec_from_file_location("verify_ledger", module_path)
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)

ATTACKS = [
    "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), 'a', 'b') AS BLOB) WHERE seq = 5",
    "UPDATE leaf SET body = x'' WHERE seq = 5",
    "UPDATE leaf SET body = (SELECT body FROM leaf WHERE seq = 4), leaf_hash = (SELECT leaf_hash FROM leaf WHERE seq = 4) WHERE seq = 6",
    "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), '{\"payloadType\"', '{\"a\":1,\"a\":1,\"payloadType\"') AS BLOB) WHERE seq = 5",
    "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), '}]}', '}]} ') AS BLOB) WHERE seq = 5",
    "UPDATE leaf SET ts_ms = ts_ms + 1 WHERE seq = 3",
    "UPDATE leaf SET type = 'run.fail' WHERE seq = 5",
    "UPDATE leaf SET event_id = 'x' WHERE seq = 5",
    "UPDATE leaf SET prev_hash = leaf_hash WHERE seq = 5",
    "UPDATE leaf SET leaf_hash = prev_hash WHERE seq = 5",
    "DELETE FROM leaf WHERE seq = 7",
    "DELETE FROM leaf WHERE seq = 19",
    "DELETE FROM leaf WHERE seq >= 18; DELETE FROM checkpoint WHERE size > 18",
    "DELETE FROM leaf",
    "INSERT INTO leaf SELECT 20, 'new', ts_ms, type, body, leaf_hash, prev_hash FROM leaf WHERE seq = 19",
    "UPDATE leaf SET seq = -1 WHERE seq = 9; UPDATE leaf SET seq = 9 WHERE seq = 11; UPDATE leaf SET seq = 11 WHERE seq = -1",
    "UPDATE node SET hash = zeroblob(32) WHERE level = 2 AND idx = 1",
    "DELETE FROM node WHERE level = 3 AND idx = 0",
    "INSERT INTO node VALUES(7, 7, zeroblob(32))",
    "UPDATE checkpoint SET root = zeroblob(32) WHERE size = 10",
    "UPDATE checkpoint SET note = replace(note, 'bank', 'tank') WHERE size = 10",
    "UPDATE checkpoint SET note = note || char(8212) || ' other AAAAAAAA' || char(10) WHERE size = 10",
    "UPDATE checkpoint SET note = substr(note, 1, length(note) - 8) || 'AAAAAA=' || char(10) WHERE size = 10",
    "DELETE FROM checkpoint WHERE size = 10",
    "INSERT INTO checkpoint SELECT 21, root, note FROM checkpoint WHERE size = 20",
    "UPDATE run SET epsilon = 0.5 WHERE run_no = 1",
    "UPDATE run SET epsilon = NULL WHERE run_no = 1",
    "UPDATE run SET status = 'complete', reason = NULL WHERE run_no = 6",
    "UPDATE run SET actor = 'somebody else' WHERE run_no = 2",
    "DELETE FROM run WHERE run_no = 2",
    "DELETE FROM run WHERE run_no = 7",
    "UPDATE metric SET value = value + 1e-15 WHERE run_no = 1",
    "UPDATE artifact SET sha256 = replace(sha256, 'a', 'b') WHERE run_no = 1",
    "DELETE FROM param WHERE run_no = 1",
    "UPDATE param SET value = '1' WHERE name = 'configuration.model.type' AND run_no = 1",
    "UPDATE population SET epsilon_limit = 1000",
    "UPDATE dataset SET commitment = zeroblob(32) WHERE name = 'book'",
    "UPDATE dataset SET is_public = 1",
    "UPDATE decision SET person = 'somebody else'",
    "DELETE FROM erasure",
    "UPDATE signing_key SET role = 'writer'",
    "INSERT INTO signing_key VALUES('x', 'writer', 'y', 3, NULL, NULL)",
    "INSERT INTO cosignature VALUES(20, 'nobody', 'nonsense')",
    "UPDATE cosignature SET size = 19",
    "UPDATE cosignature SET line = replace(line, 'compliance', 'complience')",
    "DELETE FROM cosignature",
    "PRAGMA user_version = 1",
    "PRAGMA application_id = 7",
    "CREATE VIEW extra AS SELECT * FROM leaf",
    "CREATE TABLE extra(x)",
    "CREATE TRIGGER extra AFTER INSERT ON run BEGIN DELETE FROM leaf; END",
    "DROP TABLE metric",
]

# The last three events of the larger ledger are a programme and a run drawn from it.
PROGRAMME_ATTACKS = [
    "UPDATE programme SET runs = 4",
    "UPDATE programme SET epsilon = 0.5",
    "UPDATE programme SET rho = NULL",
    "UPDATE programme SET population = 'open-data'",
    "DELETE FROM programme",
    "INSERT INTO programme SELECT 'prog-000002-00000000', dataset, population, runs, run_epsilon, epsilon, delta, relation, rho, "
    "delta_slack, actor, registered_ms, leaf FROM programme",
    "UPDATE run SET programme = NULL",
    "UPDATE run SET programme = (SELECT programme_id FROM programme) WHERE run_no = 1",
    "UPDATE run SET programme = NULL, rho = 0 WHERE run_no = 8",
    "UPDATE leaf SET body = CAST(replace(CAST(body AS TEXT), 'a', 'b') AS BLOB) WHERE seq = 20",
    "DELETE FROM leaf WHERE seq = 20",
]


def first_status(path, flags):
    run = subprocess.run([sealgrad, "ledger", "verify", path, "--json", *flags], capture_output=True, text=True)
    return run.returncode, json.loads(run.stdout)["sentence"] if run.stdout else run.stderr


def second_status(path, flags):
    out = io.StringIO()
    sys.argv = ["verify_ledger", path, *flags]
    with contextlib.redirect_stdout(out):
        status = second.main()
    return status, out.getvalue().splitlines()[0]


bad = 0


def compare(path, flags, what, expected=None):
    global bad
    one, two = first_status(path, flags), second_status(path, flags)
    if one[0] != two[0] or (expected is not None and one[0] != expected):
        bad += 1
        print(f"{what}: sealgrad {one}, second {two}, expected {expected}")


def attack(path, sql):
    db = sqlite3.connect(path)
    triggers = [r[0] for r in db.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")]
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.executescript(sql)
    for text in triggers:
        db.execute(text)
    db.commit()
    db.close()


def turned(text, at):
    """Another letter of base64 in one place."""
    return text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1:]


def proofs(ledger, policy, copy):
    """Proof files, whole and altered: in each line, cut, longer, of another place, with another's signature."""
    texts = {}
    for seq in (0, 5, 19):
        subprocess.run([sealgrad, "ledger", "prove", ledger, f"leaf:{seq}", "--out", copy], check=True)
        texts[seq] = open(copy, encoding="utf-8").read()
        compare(copy, ["--trust", policy], f"proof of {seq}", 0)
        compare(copy, [], f"proof of {seq}, no trust", 4)
        compare(copy, ["--allow-self-trust"], f"proof of {seq}, no witness", 4)
        compare(copy, ["--allow-self-trust", "--allow-unwitnessed"], f"proof of {seq}, allowed", 0)
    text = texts[5]
    lines = text.split("\n")
    blank = lines.index("")
    other = texts[19].split("\n")
    altered = [
        text.replace("tlog-proof@v1", "tlog-proof@v2"), text.replace("index 5", "index 4"), text.replace("index 5", "index -5"),
        text.replace("index 5", "index 05"), text.replace("index 5", "index 20"), text.replace("index 5", "index 5 "),
        "\n".join(lines[:3] + lines[4:]), "\n".join(lines[:blank] + [lines[3]] + lines[blank:]),
        "\n".join(lines[:3] + lines[4:5] + lines[3:4] + lines[5:]), "\n".join(other[:2] + lines[2:]),
        "\n".join(lines[:1] + other[1:blank] + lines[blank:]), "\n".join(lines[:blank]) + "\n", "\n".join(lines[:-2]) + "\n",
        text.replace("\n20\n", "\n19\n"), text.replace("\n20\n", "\n020\n"), text + "\n", text[:-1], text + "— x AAAA\n",
        text + "— x AAAAAAAA\n", text.replace("bank.example/credit\n", "tank.example/credit\n"),
        "\n".join(line for line in lines if not line.startswith("— bank")),
        "\n".join(line for line in lines if not line.startswith("— compliance")),
        text[:40], "", text.replace("\n", "\r\n"),
    ]
    altered += ["\n".join(lines[:n] + [turned(lines[n], at)] + lines[n + 1:]) for n, at in
                ((1, 60), (3, 0), (blank - 1, 9), (blank + 3, 3), (blank + 5, 40), (blank + 6, 40))]
    for n, one in enumerate(altered):
        with open(copy, "w", encoding="utf-8", newline="") as f:
            f.write(one)
        compare(copy, ["--trust", policy], f"proof, altered {n}")
        compare(copy, ["--allow-self-trust", "--allow-unwitnessed"], f"proof without trust, altered {n}")
    return len(altered) + 3


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
    subprocess.run([make_fixture, folder], check=True)
    ledger, policy, copy = (os.path.join(folder, n) for n in ("ledger.db", "policy", "copy.db"))
    trust = ["--trust", policy]
    compare(ledger, trust, "untouched", 0)
    compare(ledger, [], "no trust", 4)
    compare(ledger, ["--allow-self-trust", "--allow-unwitnessed"], "allowed", 0)
    kept = [os.path.join(folder, f"kept{n}") for n in (1, 7, 20)]
    for path in kept:
        subprocess.run([sealgrad, "ledger", "checkpoint", ledger, "--size", path.rpartition("kept")[2], "--out", path], check=True)
        compare(ledger, [*trust, "--since", path], f"--since {path}", 0)
    for n, edit in enumerate([lambda s: s.replace("\n20\n", "\n21\n"), lambda s: s.replace("bank", "tank", 1),
                              lambda s: s.replace(s.split("\n")[2], base64.b64encode(bytes(32)).decode())]):
        with open(kept[2], encoding="utf-8") as whole, open(copy, "w", encoding="utf-8") as f:
            f.write(edit(whole.read()))
        compare(ledger, [*trust, "--since", copy], f"--since, edited {n}", 3)
    n_proofs = proofs(ledger, policy, copy)
    for sql in ATTACKS:
        shutil.copy(ledger, copy)
        attack(copy, sql)
        compare(copy, trust, sql, 4 if sql == "DELETE FROM cosignature" else 3)
    sampled = trust + ["--newest", "1"]  # signatures of old events and checkpoints rest on the newest one's
    compare(ledger, sampled, "untouched, newest signature", 0)
    unseen = [ATTACKS[22]]  # an old checkpoint's signature, of which both say that they did not check it
    for sql in ATTACKS:
        shutil.copy(ledger, copy)
        attack(copy, sql)
        compare(copy, sampled, "newest signature: " + sql, 0 if sql in unseen else 4 if sql == "DELETE FROM cosignature" else 3)
        if sql in unseen:
            compare(copy, trust + ["--all-signatures"], "all signatures: " + sql, 3)
    data = open(ledger, "rb").read()
    for n in range(0, len(data), len(data) // 9):  # cut anywhere
        open(copy, "wb").write(data[:n])
        compare(copy, trust, f"cut to {n} bytes", 3)
    other = os.path.join(folder, "p256")
    os.mkdir(other)
    subprocess.run([make_fixture, other, "p256"], check=True)
    ledger, policy = os.path.join(other, "ledger.db"), os.path.join(other, "policy")
    compare(ledger, ["--trust", policy], "P-256", 0)
    for sql in ATTACKS[:3] + ["UPDATE checkpoint SET note = substr(note, 1, length(note) - 8) || 'AAAAAA=' || char(10) WHERE size = 10"]:
        shutil.copy(ledger, copy)
        attack(copy, sql)
        compare(copy, ["--trust", policy], "P-256: " + sql, 3)
    larger = os.path.join(folder, "larger")
    os.mkdir(larger)
    subprocess.run([make_fixture, larger, "programme"], check=True)
    ledger, trust = os.path.join(larger, "ledger.db"), ["--trust", os.path.join(larger, "policy")]
    compare(ledger, trust, "untouched, with a programme", 0)
    for sql in PROGRAMME_ATTACKS:
        shutil.copy(ledger, copy)
        attack(copy, sql)
        compare(copy, trust, sql, 3)
    stolen = os.path.join(folder, "stolen")
    os.mkdir(stolen)
    subprocess.run([make_fixture, stolen, "compromised"], check=True)
    compare(os.path.join(stolen, "ledger.db"), ["--trust", os.path.join(stolen, "policy")], "an event by a compromised key", 4)
    events = os.path.join(folder, "events")
    os.mkdir(events)
    subprocess.run([make_fixture, events, "events"], check=True)
    ledger, trust = os.path.join(events, "ledger.db"), ["--trust", os.path.join(events, "policy")]
    compare(ledger, trust, "heartbeats, gaps and signatures of people", 0)
    compare(ledger, [*trust, "--needs", "2"], "two people approved", 0)
    compare(ledger, [*trust, "--needs", "3"], "three people are wanted", 4)
    n_forged = 0
    while True:
        forged = os.path.join(folder, f"forged{n_forged}")
        os.mkdir(forged)
        if subprocess.run([make_fixture, forged, "forge", str(n_forged)]).returncode == 9:
            break
        compare(os.path.join(forged, "ledger.db"), ["--trust", os.path.join(forged, "policy")], f"forgery {n_forged}", 3)
        n_forged += 1
    if n_forged < 20:
        bad += 1
        print(f"only {n_forged} forgeries were made")
    print(f"{len(ATTACKS) + len(PROGRAMME_ATTACKS) + 4 + n_forged} attacks, {n_proofs} proofs and 25 more files: {bad} disagreements")
sys.exit(1 if bad else 0)
