"""Would catch: an export that says something else than the ledger, that other programs cannot read, that brings along another run
or anything of the machine, and packs whose wording changed unnoticed. Checked from outside: Python's standard library and the
openssl command, no code of ours but the second verifier's.

    exports.py SEALGRAD MAKE_FIXTURE VERIFY_LEDGER_PY GOLDEN_FOLDER [--update]
"""
import base64
import csv
import datetime
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import uuid

sealgrad, make_fixture, module_path, golden = sys.argv[1:5]
update = sys.argv[5:] == ["--update"]
if not shutil.which("openssl"):
    print("skipped: needs the openssl command")
    sys.exit(77)
spec = importlib.util.spec_from_file_location("verify_ledger", module_path)
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)

folder = pathlib.Path(tempfile.mkdtemp(prefix="CANARYPATH-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print("FAILED:", what)


def run(*arguments, status=0):
    environment = dict(os.environ, CANARYENV="CANARYVALUE")
    done = subprocess.run([sealgrad, *map(str, arguments)], capture_output=True, env=environment, cwd=folder)
    if done.returncode != status:
        print(done.stdout.decode(), done.stderr.decode())
        check(False, f"{arguments}: status {done.returncode}, not {status}")
    return done


def export(name, *flags, ledger="ledger.db", policy="policy"):
    run("ledger", "export", ledger, "--trust", policy, "--out", f"out/{name}", *flags)
    return folder / "out" / name


def sha256(data):
    return hashlib.sha256(data).digest()


def node(left, right):
    return sha256(b"\x01" + left + right)


def root_of(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return node(root_of(hashes[:k]), root_of(hashes[k:]))


def signed_by(note, public, name):
    text, lines = note.split("\n\n", 1)
    text += "\n"
    for line in lines.splitlines():
        blob = second.note_line(line, name)
        if blob and blob[:4] == second.key_id(name, 1, public):
            return second.ED.verify(public, text.encode(), blob[4:])
    return False


def checkpoint_of(note):
    origin, size, root = note.split("\n")[:3]
    return origin, int(size), base64.b64decode(root)


# ---- csv: every derived table, cell by cell.
def test_csv():
    out = export("csv", "--format", "csv")
    derived = {"signing_key", "population", "dataset", "run", "param", "metric", "artifact", "decision", "erasure"}
    check(derived <= {p.stem for p in out.iterdir()}, "csv: a table is missing")
    for path in out.iterdir():
        rows = list(csv.reader(open(path, newline="", encoding="utf-8")))
        cursor = db.execute(f"SELECT * FROM {path.stem}")
        check(rows[0] == [c[0] for c in cursor.description], f"csv: header of {path.name}")
        want = cursor.fetchall()
        check(len(rows) == len(want) + 1 and all(same(t, v) for row, w in zip(rows[1:], want) for t, v in zip(row, w)),
              f"csv: rows of {path.name}")


def same(text, value):
    if value is None:
        return text == ""
    if isinstance(value, bytes):
        return text == value.hex()
    return float(text) == value if isinstance(value, float) else text == str(value)


# ---- json
def test_json():
    lines = [json.loads(line) for line in open(export("json", "--format", "json") / "leaves.jsonl", encoding="utf-8")]
    check([l["seq"] for l in lines] == list(range(len(leaves))), "json: not every leaf in order")
    for line, body in zip(lines, leaves):
        envelope = json.loads(body)
        check(line["leaf_hash"] == sha256(b"\x00" + body).hex(), "json: leaf hash")
        check(line["statement"] == json.loads(base64.b64decode(envelope["payload"])), "json: statement")
        check(line["keyid"] == envelope["signatures"][0]["keyid"], "json: key")
    one = [json.loads(line) for line in open(export("json-1", "--format", "json", "--run", 2) / "leaves.jsonl")]
    check([l["seq"] for l in one] == [0, 2, 6, 7, 18, 19], f"json of run 2: {[l['seq'] for l in one]}")


# ---- tiles
def test_tiles():
    out = export("tiles", "--format", "tiles")
    n = len(leaves)
    check(sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) ==
          ["checkpoint", f"tile/0/000.p/{n}", f"tile/entries/000.p/{n}"], "tiles: files")
    tile = (out / f"tile/0/000.p/{n}").read_bytes()
    hashes = [tile[i:i + 32] for i in range(0, len(tile), 32)]
    bundle, entries = (out / f"tile/entries/000.p/{n}").read_bytes(), []
    while bundle:
        (length,) = struct.unpack(">H", bundle[:2])
        entries.append(bundle[2:2 + length])
        bundle = bundle[2 + length:]
    check(entries == leaves, "tiles: entries")
    check(hashes == [sha256(b"\x00" + e) for e in entries], "tiles: hashes")
    note = (out / "checkpoint").read_text(encoding="utf-8")
    origin, size, root = checkpoint_of(note)
    check(size == n and root == root_of(hashes), "tiles: the checkpoint's root")
    check(signed_by(note, trust.logs[0][2], origin), "tiles: the checkpoint's signature")


# ---- evidence: proofs by RFC 9162, with the key from outside.
def inclusion_holds(leaf, index, size, proof, root):
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def proof_holds(path, public):
    head, note = path.read_text(encoding="utf-8").split("\n\n", 1)
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        return False
    leaf, index = base64.b64decode(lines[1][6:]), int(lines[2][6:])
    origin, size, root = checkpoint_of(note)
    proof = [base64.b64decode(l) for l in lines[3:]]
    return (signed_by(note, public, origin) and leaf == leaves[index] and
            inclusion_holds(sha256(b"\x00" + leaf), index, size, proof, root))


def test_evidence():
    out = export("evidence", "--evidence", "--run", 2)
    proofs = sorted(out.glob("*.proof"))
    check([int(p.name[5:11]) for p in proofs] == [0, 2, 6, 7, 18, 19], "evidence: leaves")
    check(all(proof_holds(p, trust.logs[0][2]) for p in proofs), "evidence: a proof does not hold")
    check(not proof_holds(proofs[0], bytes(31) + b"\x09"), "evidence: holds under another key")
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        check(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest, f"evidence: SHA256SUMS of {name}")
    check(len((out / "SHA256SUMS").read_text().splitlines()) == len(list(out.iterdir())) - 1, "evidence: SHA256SUMS lists all")
    text = "".join(p.read_text(encoding="utf-8") for p in out.iterdir())
    text += "".join(base64.b64decode(json.loads(base64.b64decode(re.search("extra (.*)", p.read_text())[1]))["payload"]).decode()
                    for p in proofs)
    mine = db.execute("SELECT run_id FROM run WHERE run_no = 2").fetchone()[0]
    for (run_id,) in db.execute("SELECT run_id FROM run"):
        check((run_id in text) == (run_id == mine), f"evidence: {run_id}")
    for p in proofs:
        statement = json.loads(out.joinpath(p.stem + ".json").read_bytes())
        check(statement["predicate"]["seq"] == int(p.name[5:11]), "evidence: the statement beside its proof")
        run("ledger", "verify", p, "--trust", "policy")
    broken = folder / "broken.proof"
    text = proofs[2].read_text()
    broken.write_text(text.replace("index 6", "index 7"))
    run("ledger", "verify", broken, "--trust", "policy", status=3)
    check(second.parse_vkey((out / "ledger.pub").read_text().strip())[2] == trust.logs[0][2], "evidence: the key")
    compare_golden("evidence-README.txt", (out / "README.txt").read_text())


# ---- openlineage
def facets_of(event):
    yield from event["run"]["facets"].values()
    yield from event["job"]["facets"].values()
    for data in event["inputs"] + event["outputs"]:
        yield from data["facets"].values()


def test_openlineage():
    path = export("openlineage", "--format", "openlineage") / "events.jsonl"
    events = [json.loads(line) for line in open(path, encoding="utf-8")]
    states = {}
    for event in events:
        check({"eventType", "eventTime", "run", "job", "producer", "schemaURL"} <= set(event), "openlineage: required members")
        check(uuid.UUID(event["run"]["runId"]).version == 8 and
              uuid.UUID(event["run"]["runId"]).variant == uuid.RFC_4122, "openlineage: run id")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["eventTime"]), "openlineage: time")
        check(all(re.match("(urn|https):", f["_producer"]) and re.match("(urn|https):", f["_schemaURL"])
                  for f in facets_of(event)), "openlineage: facets without producer or schema")
        leaf = event["run"]["facets"]["sealgrad_leaf"]
        check(sha256(b"\x00" + leaves[leaf["leaf"]]).hex() == leaf["leafHash"], "openlineage: the leaf")
        states.setdefault(event["run"]["runId"], []).append(event["eventType"])
    check(sorted(states.values()) == sorted([["START", "COMPLETE"]] * 5 + [["START", "FAIL"], ["START", "ABORT"]]),
          f"openlineage: states {states}")
    compare_golden("openlineage.jsonl", "".join(json.dumps(e, indent=1) + "\n" for e in events[:2]))


# ---- slsa
def test_slsa():
    out = export("slsa", "--format", "slsa")
    complete = [r[0] for r in db.execute("SELECT run_id FROM run WHERE status = 'complete'")]
    check(sorted(p.name for p in out.iterdir()) == sorted(f"{r}.intoto.json" for r in complete), "slsa: files")
    for path in out.iterdir():
        s = json.loads(path.read_text(encoding="utf-8"))
        p = s["predicate"]
        check(s["_type"] == "https://in-toto.io/Statement/v1" and s["predicateType"] == "https://slsa.dev/provenance/v1", "slsa: types")
        check(set(p) == {"buildDefinition", "runDetails"} and
              set(p["buildDefinition"]) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} and
              {"builder", "metadata"} <= set(p["runDetails"]) and "id" in p["runDetails"]["builder"], "slsa: members")
        want = db.execute("SELECT name, sha256 FROM artifact JOIN run USING(run_no) WHERE run_id = ?",
                          (p["runDetails"]["metadata"]["invocationId"],)).fetchall()
        check([(x["name"], x["digest"]["sha256"]) for x in s["subject"]] == want, "slsa: subjects")
        for leaf in p["runDetails"]["byproducts"]:
            seq = int(re.match(r"leaf (\d+),", leaf["name"])[1])
            check(leaf["digest"]["rfc6962LeafSha256"] == sha256(b"\x00" + leaves[seq]).hex(), "slsa: leaves")
    first = sorted(out.iterdir())[0]
    compare_golden("slsa.json", json.dumps(json.loads(first.read_text()), indent=1) + "\n")
    run("ledger", "export", "ledger.db", "--format", "slsa", "--run", 6, "--out", "out/none", status=2)


# ---- mlflow: the layout; that MLflow itself reads it is tests/peers.sh.
def test_mlflow():
    out = export("mlflow", "--format", "mlflow") / "mlruns" / "0"
    status = {"complete": 3, "failed": 4, "aborted": 5, "running": 1}
    for run_no, run_id, state, started, ended, epsilon in db.execute(
            "SELECT run_no, run_id, status, started_ms, ended_ms, epsilon FROM run").fetchall():
        meta = dict(line.split(": ", 1) for line in (out / run_id / "meta.yaml").read_text().splitlines())
        check((meta["status"], meta["start_time"], meta["end_time"], meta["run_id"]) ==
              (str(status[state]), str(started), str(ended), f'"{run_id}"'), f"mlflow: {run_id}")
        for name, value in db.execute("SELECT name, value FROM param WHERE run_no = ?", (run_no,)):
            check((out / run_id / "params" / name).read_text() == value, f"mlflow: param {name}")
        for name, value, split in db.execute("SELECT name, value, split FROM metric WHERE run_no = ?", (run_no,)):
            *way, last = (out / run_id / "metrics" / f"{split}.{name}").read_text().splitlines()
            at, text, _ = last.split()
            check((int(at), float(text)) == (ended, value), f"mlflow: metric {name}")
            # The fixture follows the validation AUC: two points before the end, none of them twice.
            followed = [f"{ended} 0.6500 25", f"{ended} 0.7300 50"] if (split, name) == ("validation", "auc") else []
            check(way == followed, f"mlflow: {name} on the way: {way}")
        path = out / run_id / "metrics" / "privacy.epsilon"
        check(path.exists() == (epsilon is not None) and
              (epsilon is None or float(path.read_text().split()[1]) == epsilon), "mlflow: epsilon")
        check((out / run_id / "artifacts").is_dir(), "mlflow: artifacts")


# ---- datasette: every canned query runs, with and without a subject.
def test_datasette():
    metadata = json.loads((export("datasette", "--format", "datasette") / "metadata.json").read_text())
    queries = metadata["databases"]["ledger"]["queries"]
    check(len(queries) == 25, "datasette: every view is a query")
    for name, query in queries.items():
        check("?1" not in query["sql"], f"datasette: {name} has an unnamed parameter")
        for subject in ("", "book", "1,2"):
            db.execute(query["sql"], {"subject": subject}).fetchall()
    with_subject = db.execute(queries["lineage"]["sql"], {"subject": "book"}).fetchall()
    check(len(with_subject) == 4, "datasette: lineage of book")


def as_printed(name, value):
    """A cell as the program prints it."""
    if name.endswith("_ms") and isinstance(value, int):
        text = datetime.datetime.fromtimestamp(value // 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return name[:-3], f"{text}.{value % 1000:03d}Z"
    if name.startswith("is_"):
        return name[3:], None if value is None else bool(value)
    return name.removesuffix("_ms"), value.hex() if isinstance(value, bytes) else value


def test_datasette_reads_leaves():
    """What has no table is decoded in SQL, and answers as the program does; only an SSH key's fingerprint is beyond it."""
    (folder / "events").mkdir()
    subprocess.run([make_fixture, folder / "events", "events"], check=True)
    events = folder / "events/ledger.db"
    metadata = json.loads((export("datasette-events", "--format", "datasette", ledger=events, policy="events/policy") /
                           "metadata.json").read_text())
    queries = metadata["databases"]["ledger"]["queries"]
    there = sqlite3.connect(f"file:{events}?mode=ro", uri=True)
    there.row_factory = sqlite3.Row
    for view in ("open", "heartbeats", "clock", "gaps", "approvals", "erasures", "retention"):
        got = [dict(as_printed(key, row[key]) for key in row.keys())
               for row in there.execute(queries[view]["sql"], {"subject": ""})]
        want = [json.loads(line) for line in run("ledger", "query", events, "--view", view, "--json").stdout.splitlines()]
        for row in want:
            row.pop("signing_key", None)
        for row in got:
            row.pop("signing_key", None)
        check(got == want, f"datasette: {view}: {got} against {want}")
        check(want or view in ("open", "erasures"), f"datasette: {view} is empty in this ledger")


# ---- packs
def test_packs():
    for name in ("annex-iv", "mrm", "dora"):
        text = run("ledger", "report", "ledger.db", name, "1", "--trust", "policy").stdout.decode()
        pack = json.loads(run("ledger", "report", "ledger.db", name, "1", "--trust", "policy", "--json").stdout)
        page = run("ledger", "report", "ledger.db", name, "1", "--trust", "policy", "--html").stdout.decode()
        check("not legal advice" in text and "not legal advice" in page and "not legal advice" in pack["disclaimer"], name)
        check("<script" not in page and "http:" not in page and "https:" not in page, f"{name}: the page reaches out")
        for provision in pack["provisions"]:
            words = "present" if not provision["missing"] else "partial" if provision["evidence"] else "missing"
            check(provision["status"] == words, f"{name} {provision['number']}: status")
            for missing in provision["missing"]:
                check(f"- MISSING: {missing}\n" in text, f"{name}: {missing}")
        compare_golden(f"pack-{name}.md", text)


# ---- golden texts: what differs from fixture to fixture is replaced.
def compare_golden(name, text):
    path = pathlib.Path(golden) / name
    origin = db.execute("SELECT actor, host FROM run").fetchone()
    for pattern, by in [(r"run-(\d{6})-[0-9a-f]{8}", r"run-\1-ID"), (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3})?(Z| UTC)", "TIME"),
                        (r"\b(?!(.)\1{63})[0-9a-f]{64}\b", "HASH"), (r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
                        (rf"\b{re.escape(origin[0])}\b(?= on | \(|\"|:)", "USER"), (rf"(?<= on ){re.escape(origin[1])}\b", "HOST"),
                        (r'"host": "[^"]*"', '"host": "HOST"'), (r'"actor": "[^"]*"', '"actor": "USER"'),
                        (r", by [^ ]+ \(leaf", ", by USER (leaf"), (r"(?<=[:,] )[^ :,]+ \(validator\)", "USER (validator)")]:
        text = re.sub(pattern, by, text)
    # The last digits of a calibrated number belong to the accountant and the C library, not to the format.
    text = re.sub(r"\d+\.\d{9,}(e[+-]?\d+)?", lambda number: "%.9g" % float(number.group()), text)
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    want = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != want:
        check(False, f"{name} differs from its golden copy (exports.py ... --update rewrites them)")
        for a, b in zip(text.splitlines(), want.splitlines()):
            if a != b:
                print(f"  now:    {a[:200]}\n  golden: {b[:200]}")
                break


def test_nothing_of_the_machine():
    for path in (folder / "out").rglob("*"):
        if path.is_file():
            check(b"canary" not in path.read_bytes().lower(), f"{path.name}: something of the machine is in it")
    check(not [p for p in folder.rglob("*.tmp")], "a temporary folder is left")


def test_broken_ledger():
    shutil.copy(folder / "ledger.db", folder / "bad.db")
    bad = sqlite3.connect(folder / "bad.db")
    bad.execute("UPDATE run SET epsilon = 0.1 WHERE run_no = 1")
    bad.commit()
    bad.close()
    done = run("ledger", "export", "bad.db", "--format", "csv", "--out", "out/bad", status=3)
    check(done.stdout == b"" and done.stderr.count(b"\n") == 1 and not (folder / "out/bad").exists(), "export of a broken ledger")
    done = run("ledger", "report", "bad.db", "annex-iv", "1", status=3)
    check(done.stdout == b"" and done.stderr.count(b"\n") == 1, "pack of a broken ledger")


try:
    subprocess.run([make_fixture, folder], check=True)
    (folder / "out").mkdir()
    db = sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)
    leaves = [bytes(row[0]) for row in db.execute("SELECT body FROM leaf ORDER BY seq")]
    trust = second.Trust(str(folder / "policy"))
    for test in (test_csv, test_json, test_tiles, test_evidence, test_openlineage, test_slsa, test_mlflow, test_datasette,
                 test_datasette_reads_leaves,
                 test_packs, test_broken_ledger, test_nothing_of_the_machine):
        test()
finally:
    shutil.rmtree(folder)
print(f"{len(failures)} failures")
sys.exit(1 if failures else 0)
