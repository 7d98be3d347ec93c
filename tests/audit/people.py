"""Would catch: a signature by the real ssh-keygen that one of the verifiers does not take, or takes for another document, ledger,
namespace or person; a person who counts twice; a signature that ssh-keygen itself would not find good.

    people.py SEALGRAD MAKE_FIXTURE VERIFY_LEDGER_PY
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

sealgrad, make_fixture, second = (os.path.abspath(p) for p in sys.argv[1:4])
missing = [name for name in ("ssh-keygen", "openssl") if not shutil.which(name)]
if missing:
    print(f"skipped: it needs {' and '.join(missing)}")
    sys.exit(77)
KEYS = [("ed25519", []), ("ecdsa", ["-b", "256"]), ("ecdsa", ["-b", "384"]), ("ecdsa", ["-b", "521"]), ("rsa", ["-b", "2048"])]
bad = 0


def run(*words, status=0, text=None, stdin=None):
    """Runs, and holds status and output against what is wanted."""
    global bad
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, input=stdin)
    if done.returncode != status or (text and text not in done.stdout + done.stderr):
        bad += 1
        print(f"{' '.join(map(str, words))}: status {done.returncode}, wanted {status} and {text!r}\n{done.stdout}{done.stderr}")
    return done.stdout


def ledger(verb, *words, **wanted):
    return run(sealgrad, "ledger", verb, "ledger.db", *words, **wanted)


def draft(name, verb="approve", *words):
    ledger(verb, "1", "--role", "model validation", "--reason", "report 7, annex B", "--draft", name, *words)


def sign(key, name, namespace="sealgrad"):
    if os.path.exists(name + ".sig"):
        os.remove(name + ".sig")
    run("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key, name)


def record(name, verb="approve", *words, **wanted):
    return ledger(verb, "1", "--key", "signing.key", "--document", name, *words, **wanted)


def both(status, *words):
    words = ["--allow-self-trust", "--allow-unwitnessed", *words]
    ledger("verify", *words, status=status)
    run(sys.executable, second, "ledger.db", *words, status=status)


def write_signing_key():
    """The key of make_fixture: a seed of ones."""
    seed = bytes([1] * 32)
    open("seed.der", "wb").write(bytes.fromhex("302e020100300506032b657004220420") + seed)
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-in", "seed.der", "-pubout", "-outform", "DER"], check=True,
                            capture_output=True).stdout[-32:]
    with open(os.open("signing.key", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"sealgrad-key-v1\nname tester\nkdf none\npublic {base64.b64encode(public).decode()}\n"
                f"secret {base64.b64encode(seed).decode()}\n")


def test():
    people = open("people", "w")
    for i, (kind, more) in enumerate(KEYS):
        run("ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-C", "comment", "-f", f"key{i}")
        people.write(f'person{i}@bank.example namespaces="sealgrad" {open(f"key{i}.pub").read()}')
    people.close()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "stranger")
    with_people = ["--allowed-signers", "people"]

    # Every kind of key signs an approval; what ssh-keygen finds good, both verifiers do.
    for i in range(len(KEYS)):
        draft(f"d{i}")
        sign(f"key{i}", f"d{i}")
        record(f"d{i}", "approve", *with_people, text="recorded")
    both(0, *with_people)
    rows = [json.loads(line) for line in ledger("query", "--view", "approvals", "--json").splitlines()]
    if [r["signed_by"] for r in rows] != [None] + [f"person{i}@bank.example" for i in range(len(KEYS))]:
        raise SystemExit(f"approvals: {rows}")
    for row in rows[1:]:  # the document rebuilt from the leaf alone, under ssh-keygen's eyes
        p = json.loads(ledger("show", f"leaf:{row['leaf']}"))["predicate"]
        f = p["facts"]
        until = "never" if f["expires_ms"] is None else None
        text = (f"sealgrad decision v1\nledger: {p['origin']}\ndecision: approve\nmodel: {f['model']}\nrole: {f['role']}\n"
                f"reason: {f['reason']}\nexpires: {until}\nnonce: {f['human']['nonce']}\n")
        blob = base64.b64encode(base64.b64decode(f["human"]["sshsig"])).decode()
        armour = "\n".join(["-----BEGIN SSH SIGNATURE-----", *[blob[i:i + 70] for i in range(0, len(blob), 70)],
                            "-----END SSH SIGNATURE-----", ""])
        open("rebuilt.sig", "w").write(armour)
        run("ssh-keygen", "-Y", "verify", "-f", "people", "-I", row["signed_by"], "-n", "sealgrad", "-s", "rebuilt.sig",
            stdin=text, text="Good")

    # What is refused, and leaves no event.
    size = len(ledger("query", "--json", "--view", "events").splitlines())
    draft("again")
    sign("key0", "again")
    record("again", status=2, text="approves this model already")
    record("d1", status=2, text="used again")
    draft("other")
    sign("stranger", "other")
    record("other", "approve", *with_people, status=2, text="not among the allowed signers")
    sign("stranger", "other", "git")
    record("other", status=2, text="-n sealgrad")
    sign("stranger", "other")
    open("other", "a").write("and more\n")
    record("other", status=2, text="unchanged")
    draft("other")
    sign("stranger", "other")
    text = open("other").read()
    open("other", "w").write(text.replace("annex B", "annex C"))
    record("other", status=2, text="not the key's signature")
    open("other", "w").write(text)
    record("other", "deploy", status=2, text="it says approve")
    open("other", "w").write(text.replace("ledger: ", "ledger: x"))
    record("other", status=2, text="about the ledger x")
    ledger("deploy", "1", "--key", "signing.key", "--needs", "6", status=2, text="has 5")
    ledger("approve", "1", "--key", "signing.key", "--four-eyes", status=2, text="four eyes")
    ledger("approve", "1", "--draft", "x", "--reason", "two\nlines", status=2, text="one line")
    ledger("approve", "1", status=2, text="--draft FILE")
    if len(ledger("query", "--json", "--view", "events").splitlines()) != size:
        raise SystemExit("a refused decision left an event")

    # Expiry, deployment by two, a list that has lost a person.
    draft("late", "deploy", "--expires", "2040-02-03")
    if "expires: 2040-02-03T00:00:00.000Z" not in open("late").read():
        raise SystemExit("the draft's expiry")
    sign("key1", "late")
    record("late", "deploy", "--needs", "2", *with_people, text="recorded")
    both(0, *with_people, "--needs", "2", "--four-eyes")
    both(4, *with_people, "--needs", "6")
    lines = open("people").read().splitlines(keepends=True)
    open("fewer", "w").writelines(lines[1:])
    both(4, "--allowed-signers", "fewer")
    open("renamed", "w").write("".join(lines).replace("person4", "somebody"))
    both(4, "--allowed-signers", "renamed")


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
    os.chdir(folder)
    subprocess.run([make_fixture, "."], check=True)
    write_signing_key()
    test()
print(f"{bad} disagreements")
sys.exit(1 if bad else 0)
