"""Would catch: a ledger file that tells who was in the data. A guesser knows every record but one, has two candidates for it, and
holds the ledger file alone. He tries every digest, commitment and number in the file against what he can compute from either
candidate, and compares all that is not random between the two worlds. Also: a secret of paths, environment, arguments or files
that reaches the ledger, plain or encoded, by any verb.

    membership.py SEALGRAD BOOK_FOLDER [GAMES]      the folder holds book.csv, schema.yaml, train.yaml, keys/signing.key
"""
import base64
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sealgrad, book = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
GAMES = int(sys.argv[3]) if len(sys.argv) > 3 else 12
SEED = 20260131
# What differs between any two ledgers of the same data: times, drawn ids and keys, and what hangs on them.
RANDOM = {"event_id", "time", "time_ms", "prev", "key", "run_id", "commitment", "data_commitment", "secret_commitment", "boottime_ms",
          "boot_id", "sha256", "commitmentHmacSha256", "wall_ms", "code_digest", "binary_digest"}


def run(*words, **how):
    done = subprocess.run([sealgrad, *words], capture_output=True, text=True, **how)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}\n{done.stderr}")
    return done.stdout


def statements(path):
    db = sqlite3.connect(path)
    return [json.loads(base64.b64decode(json.loads(body)["payload"])) for (body,) in db.execute("SELECT body FROM leaf ORDER BY seq")]


def steady(value, way=""):
    """Every value of a statement that would be the same again, with its place."""
    if isinstance(value, dict):
        for key, v in value.items():
            if key not in RANDOM:
                yield from steady(v, f"{way}.{key}")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from steady(v, f"{way}[{i}]")
    else:
        yield way, value


# ---- The guesser.
def strings_of(path):
    """All bytes of 16 to 64 that the file holds, as they are or in hexadecimal or base64, anywhere."""
    raw = open(path, "rb").read()
    db = sqlite3.connect(path)
    texts = [json.dumps(s) for s in statements(path)]
    blobs = set()
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for row in db.execute(f"SELECT * FROM {table}"):
            blobs.update(v for v in row if isinstance(v, bytes) and len(v) <= 64)
            texts.extend(v for v in row if isinstance(v, str))
    for text in texts:
        blobs.update(bytes.fromhex(h) for h in re.findall(r"(?<![0-9a-f])(?:[0-9a-f]{2}){16,64}(?![0-9a-f])", text))
        for b in re.findall(r"[A-Za-z0-9+/]{22,88}={0,2}", text):
            try:
                blobs.add(base64.b64decode(b + "=" * (-len(b) % 4)))
            except ValueError:
                pass
    return raw, blobs, "\n".join(texts)


def merkle(leaves):
    while len(leaves) > 1:
        leaves = [hashlib.sha256(b"\1" + a + (b or b"")).digest() for a, b in itertools.zip_longest(leaves[::2], leaves[1::2])]
    return leaves[0]


def guesses(rows, candidate, keys):
    """What somebody who knows the data would compute of it, with every key that he can think of."""
    data = "".join(rows).encode()
    body = [r.rstrip("\n").encode() for r in rows[1:]]
    messages = [data, data.rstrip(b"\n"), "".join(sorted(rows)).encode(), candidate.encode(), candidate.rstrip("\n").encode(),
                candidate.split(",")[0].encode(), b",".join(candidate.rstrip("\n").encode().split(b",")[1:]),
                merkle([hashlib.sha256(b"\0" + r).digest() for r in body]), merkle([hashlib.sha256(r).digest() for r in sorted(body)])]
    for m in messages:
        for name in ("sha256", "sha1", "md5", "sha512", "sha3_256", "blake2b", "blake2s"):
            digest = hashlib.new(name, m).digest()
            yield from (digest, digest[:16], digest[:20], digest[:32], hashlib.sha256(digest).digest())
    for key in keys:  # those that are short to compute: over what a commitment is made of
        for m in (messages[0], messages[3], messages[4], messages[5], messages[7]):
            yield hmac.new(key, m, hashlib.sha256).digest()


def guess(path, world, rows_of, candidates):
    """The candidates that the file betrays, by digest or by count. An honest ledger betrays neither."""
    raw, blobs, texts = strings_of(path)
    keys = [b"", b"sealgrad", b"book", b"customers", b"test.example/book", *sorted(b for b in blobs if len(b) in (16, 32))[:40]]
    betrayed = set()
    for i, candidate in enumerate(candidates):
        rows = rows_of(i)
        if any(g in blobs or g in raw for g in guesses(rows, candidate, keys)):
            betrayed.add(i)
        for part in candidate.rstrip("\n").split(",")[:1]:
            if part in texts:
                betrayed.add(i)
        n = len(rows) - 1
        said = [v for s in statements(path) for _, v in steady(s)]  # drawn bytes may spell any number
        if n in said or any(isinstance(v, str) and re.search(rf"\b{n}\b", v) for v in said):
            betrayed.add(f"count {n}")
    return betrayed


def make_ledger(folder, rows, name="book", size="500", train=False):
    os.mkdir(folder)
    for file in ("schema.yaml", "train.yaml"):
        shutil.copy(os.path.join(book, file), folder)
    shutil.copytree(os.path.join(book, "keys"), os.path.join(folder, "keys"))
    open(os.path.join(folder, "book.csv"), "w").writelines(rows)
    how = {"cwd": folder}
    run("ledger", "init", "l.db", "--origin", "test.example/book", "--key", "keys/signing.key", **how)
    run("dataset", "register", "book.csv", "--schema", "schema.yaml", "--ledger", "l.db", "--key", "keys/signing.key", "--name", name,
        "--population", "customers", "--population-size", size, "--epsilon-limit", "4", "--delta-limit", "1e-4", "--quiet", **how)
    if train:
        run("train", "train.yaml", "--ledger", "l.db", "--key", "keys/signing.key", "--out", "m", "--quiet", **how)
    return os.path.join(folder, "l.db")


def games(top):
    dice = random.Random(SEED)
    rows = open(os.path.join(book, "book.csv")).readlines()
    right, told = 0, []
    for game in range(GAMES):
        at = dice.randrange(1, len(rows))
        known = rows[:at] + rows[at + 1:]
        other = rows[at].split(",")
        other[1] = str(10000 + dice.randrange(90000))
        candidates = [rows[at], ",".join([f"v{game:05d}", *other[1:]])]
        if game % 3 == 2:
            candidates[1] = ""  # was there a record at all?
        truth = dice.randrange(2)
        rows_of = lambda i: known[:at] + ([candidates[i]] if candidates[i] else []) + known[at:]
        path = make_ledger(os.path.join(top, f"game{game}"), rows_of(truth), train=game == 0)
        betrayed = guess(path, truth, rows_of, [c or candidates[0] for c in candidates])
        if betrayed:
            told.append((game, sorted(map(str, betrayed))))
        right += (dice.randrange(2) == truth) if not betrayed else 1
        if game % 4 == 0:  # the other world: what is not random is the same, value by value
            again = make_ledger(os.path.join(top, f"other{game}"), rows_of(1 - truth))
            one, two = ([list(steady(s)) for s in statements(p)[:2]] for p in (path, again))
            if one != two:
                told.append((game, "the two worlds differ", [a for a, b in zip(one[1], two[1]) if a != b]))
    print(f"{GAMES} games, seed {SEED}: {right} right, the guesser's coin decided in {GAMES - len({t[0] for t in told})}")
    if told:
        raise SystemExit(f"the ledger tells: {told}")


def planted(top):
    """The same guesser must see a ledger that does tell: otherwise he shows nothing."""
    rows = open(os.path.join(book, "book.csv")).readlines()
    candidates = [rows[7], rows[7].replace("u0", "v0", 1)]
    rows_of = lambda i: rows[:7] + [candidates[i]] + rows[8:]
    plain = {"data": hashlib.sha256("".join(rows).encode()).hexdigest(), "row": hashlib.sha256(rows[7].rstrip("\n").encode()).hexdigest(),
             "id": hashlib.md5(rows[7].split(",")[0].encode()).hexdigest(), "weak": hmac.new(b"customers", rows[7].encode(), "sha256").hexdigest(),
             "plain": rows[7].split(",")[0]}
    for what, name in plain.items():  # a name is the one field where such a thing can be planted
        path = make_ledger(os.path.join(top, what), rows, name=name)
        if guess(path, 0, rows_of, candidates) != {0}:
            raise SystemExit(f"the guesser did not see the planted {what}")
    path = make_ledger(os.path.join(top, "count"), rows, size=str(len(rows) - 1))
    if f"count {len(rows) - 1}" not in guess(path, 0, rows_of, candidates):
        raise SystemExit("the guesser did not see the exact count")
    print(f"{len(plain) + 1} planted faults, each seen")


# ---- Canaries.
CANARY = "cAnArY7ZeQ"


def encodings(word):
    data = word.encode()
    yield from (data, data.lower(), data.upper(), data.hex().encode(), data[::-1])
    for shift in range(3):  # in the middle of whatever else is encoded
        text = base64.b64encode(b"x" * shift + data + b"xx")
        yield text[4 if shift else 0:len(text) - 8]


def canaries(top):
    folder = os.path.join(top, f"path-{CANARY}")
    os.mkdir(folder)
    how = {"cwd": folder, "env": {**os.environ, "SEALGRAD_TEST_SECRET": CANARY, CANARY: "1"}}
    for file, name in (("schema.yaml", "schema"), ("train.yaml", "train"), ("book.csv", "book")):
        shutil.copy(os.path.join(book, file), os.path.join(folder, f"{CANARY}-{file}"))
    text = open(os.path.join(folder, f"{CANARY}-train.yaml")).read()
    text = text.replace("file: book.csv", f"file: {CANARY}-book.csv").replace("schema: schema.yaml", f"schema: {CANARY}-schema.yaml")
    open(os.path.join(folder, f"{CANARY}-train.yaml"), "w").write(text.replace("name: nightly", "name: nightly\n  heartbeat_steps: 5"))
    os.mkdir(os.path.join(folder, CANARY))
    key, ledger = f"{CANARY}/k.key", f"{CANARY}.db"
    shutil.copy(os.path.join(book, "keys", "signing.key"), os.path.join(folder, key))
    with open(os.open(os.path.join(folder, f"{CANARY}.secret"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write((CANARY.encode().hex() + "0" * 64)[:64] + "\n")
    signed = ["--key", key]
    run("ledger", "init", ledger, "--origin", "test.example/book", *signed, **how)
    run("dataset", "register", f"{CANARY}-book.csv", "--schema", f"{CANARY}-schema.yaml", "--ledger", ledger, *signed, "--name", "book",
        "--population-size", "500", "--epsilon-limit", "4", "--delta-limit", "1e-4", "--retention", "7 years", "--retain-until",
        "2026-01-01", "--quiet", **how)
    run("train", f"{CANARY}-train.yaml", "--ledger", ledger, *signed, "--out", f"{CANARY}-m", "--secret", f"{CANARY}.secret", "--quiet", **how)
    run("score", f"{CANARY}-m", "--data", f"{CANARY}-book.csv", "--out", f"{CANARY}-scores.csv", "--quiet", **how)
    run("evaluate", f"{CANARY}-m", "--data", f"{CANARY}-book.csv", "--quiet", **how)
    run("ledger", "approve", ledger, "1", *signed, "--reason", "report 7", **how)
    run("ledger", "approve", ledger, "1", "--draft", f"{CANARY}.txt", **how)
    if shutil.which("ssh-keygen"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", CANARY, "-f", f"{CANARY}-id"], check=True, cwd=folder)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "sealgrad", "-f", f"{CANARY}-id", f"{CANARY}.txt"], check=True,
                       cwd=folder, stderr=subprocess.DEVNULL)
        run("ledger", "approve", ledger, "1", *signed, "--document", f"{CANARY}.txt", **how)
    run("ledger", "deploy", ledger, "1", *signed, **how)
    run("ledger", "erase", ledger, "1", *signed, "--basis", "retention", "--file", f"{CANARY}-m/model.safetensors", **how)
    run("ledger", "erase", ledger, "book", *signed, "--basis", "retention", **how)
    if os.path.exists(os.path.join(folder, f"{CANARY}-m/model.safetensors")):
        raise SystemExit("erase left the model's file")
    path = os.path.join(folder, ledger)
    types = [s["predicateType"].split(":")[3] for s in statements(path)]
    if types.count("run.heartbeat") < 3 or "run.erase" not in types:
        raise SystemExit(f"not every event was written: {types}")
    places = {ledger: open(path, "rb").read(), "side": open(path + ".side.db", "rb").read(),
              "statements": json.dumps(statements(path)).encode()}
    for place, data in places.items():
        for form in encodings(CANARY):
            if form in data:
                raise SystemExit(f"the canary is in {place} as {form}")
    planted = base64.b64encode(b"zz" + CANARY.encode() + b"yyyy")  # and the search finds what is encoded
    if not any(form in planted for form in encodings(CANARY)):
        raise SystemExit("the search does not see an encoded canary")
    out = run("ledger", "verify", ledger, "--allow-self-trust", "--allow-unwitnessed", **how)
    print(f"no canary in {len(types)} events; {out.splitlines()[0]}")
    return path


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as top:
    planted(top)
    games(top)
    canaries(top)
