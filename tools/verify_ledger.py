#!/usr/bin/env python3
"""A second verifier of sealgrad ledgers, written from docs/ledger.md alone: Python's standard library, and openssl for signatures.

It shares no code with the first one. It checks leaves, signatures, the tree, checkpoints, cosignatures, pairing of runs and the
derived tables. It does not recompute epsilon, for which it would need an accountant of its own; it says so.

    verify_ledger.py FILE [--trust KEY|POLICY] [--since CHECKPOINT] [--tsa-ca CA.pem] [--allowed-signers FILE] [--needs N]
                     [--four-eyes] [--allow-unwitnessed] [--allow-self-trust] [--all-signatures | --newest N]

FILE is a ledger, or one proof file.

Verdict first, then every problem. Exit status: 0 intact, 2 usage, 3 broken, 4 incomplete.
"""
import argparse
import base64
import datetime
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile

DASH = "\u2014 "
EVIDENCE = {
    "leaf": ["seq", "event_id", "ts_ms", "type", "body", "leaf_hash", "prev_hash"],
    "node": ["level", "idx", "hash"],
    "checkpoint": ["size", "root", "note"],
    "cosignature": ["size", "witness", "line"],
    "tsa": ["size", "token"],
}
OBJECTS = {"table": 15, "trigger": 9}


class Fault(Exception):
    pass


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise Fault("base64 with loose bits")
    return data


def load(data):
    def unique(pairs):
        keys = [k for k, _ in pairs]
        if len(set(keys)) != len(keys):
            raise Fault("duplicate key in JSON")
        return dict(pairs)

    return json.loads(data.decode("utf-8"), object_pairs_hook=unique)


# ---- Signatures by openssl. A public key of 32 bytes is Ed25519, one of 91 the DER of ECDSA P-256. Small-order keys and unreduced S are refused first, as the format asks.
ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
P256_DER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
SMALL_Y = {0, 1, PRIME - 1} | {
    int.from_bytes(bytes.fromhex(h), "little")
    for h in ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
              "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")}


class Signatures:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.known = {}

    def path(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def verify(self, public, message, signature):
        key = (public, message, signature)
        if key not in self.known:
            self.known[key] = self.ecdsa(*key) if len(public) == 91 else self.ed25519(*key)
        return self.known[key]

    def openssl(self, der, message, signature, *more):
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", self.path("key", der), "-rawin", *more, "-in",
             self.path("message", message), "-sigfile", self.path("signature", signature)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def ecdsa(self, public, message, signature):
        return public[:27] == P256_DER and self.openssl(public, message, signature, "-digest", "sha256")

    def ed25519(self, public, message, signature):
        if len(public) != 32 or len(signature) != 64:
            return False
        if int.from_bytes(signature[32:], "little") >= ORDER:
            return False
        y = int.from_bytes(public, "little") & (2**255 - 1)
        if y >= PRIME or y in SMALL_Y:
            return False
        return self.openssl(bytes.fromhex("302a300506032b6570032100") + public, message, signature)


ED = Signatures()


# ---- Keys, notes, trust.
def parse_vkey(text):
    name, _, data = text.split("+", 2)
    data = unbase64(data)
    kind, public = data[0], data[1:]
    good = kind in (1, 4) and len(public) == 32 or kind == 2 and len(public) == 91 and public[:27] == P256_DER
    if not good or key_id(name, kind, public).hex() != text.split("+")[1]:
        raise Fault("malformed public key")
    return name, kind, public


def key_id(name, kind, public):
    """`kind` 1 stands for a ledger's key of either algorithm."""
    if len(public) == 91:
        return hashlib.sha256(public).digest()[:4]
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def label(public):
    return hashlib.sha256(public).hexdigest()[:32]


def note_line(line, name):
    if not line.startswith(DASH + name + " "):
        return None
    return unbase64(line[len(DASH + name + " "):])


class Trust:
    def __init__(self, path):
        self.logs, self.witnesses, self.groups, self.quorum = [], {}, {}, None
        text = open(path, encoding="utf-8").read()
        self.is_policy = len(text.split()) > 1
        if not self.is_policy:
            self.logs.append(parse_vkey(text.strip()))
            return
        for line in text.splitlines():
            words = line.split()
            if not words or line.startswith("#"):
                continue
            if words[0] == "log":
                self.logs.append(parse_vkey(words[1]))
            elif words[0] == "witness":
                name, kind, public = parse_vkey(words[2])
                if kind == 2:
                    raise Fault("a witness signs with Ed25519")
                self.witnesses[words[1]] = (name, public)
            elif words[0] == "group":
                members = words[3:]
                n = {"any": 1, "all": len(members)}.get(words[2]) or int(words[2])
                self.groups[words[1]] = (n, members)
            elif words[0] == "quorum":
                self.quorum = None if words[1] == "none" else words[1]
            else:
                raise Fault("policy: " + line)

    def has_log(self, origin, public):
        return any(p == public and (not self.is_policy or n == origin) for n, _, p in self.logs)

    def met(self, seen, name=None):
        name = name or self.quorum
        if name is None:
            return False
        if name in self.witnesses:
            return name in seen
        n, members = self.groups[name]
        return sum(self.met(seen, m) for m in members) >= n


# ---- The tree.
def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(a, b):
    return hashlib.sha256(b"\1" + a + b).digest()


class Tree:
    """The roots of the perfect subtrees, and every node that an append completes."""

    def __init__(self):
        self.size, self.edge = 0, []

    def append(self, h):
        made, level, size = [], 0, self.size
        while size >> level & 1:
            h = node_hash(self.edge.pop(), h)
            level += 1
            made.append((level, size >> level, h))
        self.edge.append(h)
        self.size += 1
        return made

    def root(self):
        if not self.edge:
            return hashlib.sha256(b"").digest()
        h = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            h = node_hash(left, h)
        return h


# ---- Events to tables.
def flat(prefix, value):
    for key, v in value.items():
        if isinstance(v, dict):
            yield from flat(f"{prefix}.{key}", v)
        elif isinstance(v, str):
            yield f"{prefix}.{key}", v
        else:
            yield f"{prefix}.{key}", v


def is_or_none(value, kind):
    return value is None or type(value) is kind


# ---- What people signed: OpenSSH's PROTOCOL.sshsig, with the namespace "sealgrad".
def wire(data):
    """The strings of SSH's wire format: u32 length, bytes."""
    parts = []
    while data:
        n = int.from_bytes(data[:4], "big")
        if len(data) < 4 + n:
            raise Fault("a signature that is cut off")
        parts.append(data[4:4 + n])
        data = data[4 + n:]
    return parts


def string(data):
    return len(data).to_bytes(4, "big") + data


def der(tag, data):
    n = len(data)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b"\x82" + n.to_bytes(2, "big")
    return bytes([tag]) + length + data


CURVES = {b"nistp256": ("2a8648ce3d030107", "sha256", 65), b"nistp384": ("2b81040022", "sha384", 97),
          b"nistp521": ("2b81040023", "sha512", 133)}


def number(data):
    if not data or data[0] & 0x80 or (data[0] == 0 and (len(data) == 1 or data[1] < 0x80)):
        raise Fault("a number that is not in its shortest form")
    return data


class Sshsig:
    def __init__(self, blob):
        if blob[:10] != b"SSHSIG\0\0\0\1" or len(blob) > 8192:
            raise Fault("not an SSH signature of version 1")
        parts = wire(blob[10:])
        if len(parts) != 5 or parts[1] != b"sealgrad" or parts[2] != b"" or parts[3] not in (b"sha256", b"sha512"):
            raise Fault("an SSH signature for something else")
        self.key, self.hash = parts[0], parts[3]
        self.algorithm, self.signature = wire(parts[4])
        self.fingerprint = fingerprint(self.key)

    def verify(self, message):
        digest = hashlib.new(self.hash.decode(), message).digest()
        signed = b"SSHSIG" + string(b"sealgrad") + string(b"") + string(self.hash) + string(digest)
        kind, *key = wire(self.key)
        if kind == b"ssh-ed25519" and self.algorithm == kind:
            return len(key) == 1 and ED.verify(key[0], signed, self.signature)
        if kind == b"ssh-rsa" and self.algorithm in (b"rsa-sha2-256", b"rsa-sha2-512") and len(key) == 2:
            if not 2048 <= int.from_bytes(number(key[1]), "big").bit_length() <= 8192:
                return False
            public = der(0x30, bytes.fromhex("300d06092a864886f70d0101010500") +
                         der(3, b"\0" + der(0x30, der(2, key[1]) + der(2, number(key[0])))))
            return ED.openssl(public, signed, self.signature, "-digest", "sha" + self.algorithm.decode()[-3:])
        if kind[:11] == b"ecdsa-sha2-" and self.algorithm == kind and len(key) == 2 and kind[11:] == key[0]:
            oid, digest, size = CURVES[key[0]]
            if len(key[1]) != size or key[1][0] != 4:
                return False
            oid = der(6, bytes.fromhex(oid))
            public = der(0x30, der(0x30, bytes.fromhex("06072a8648ce3d0201") + oid) + der(3, b"\0" + key[1]))
            r, s = wire(self.signature)
            return ED.openssl(public, signed, der(0x30, der(2, number(r)) + der(2, number(s))), "-digest", digest)
        return False


def fingerprint(key):
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def document(origin, kind, f):
    texts = [origin, f["model"], f["role"], f["reason"]]
    if any(ord(c) < 32 or ord(c) == 127 for t in texts for c in t):
        raise Fault("a text of a signed decision is not one line")
    until = "never"
    if f["expires_ms"] is not None:
        t = datetime.datetime.fromtimestamp(f["expires_ms"] // 1000, datetime.timezone.utc)
        until = t.strftime("%Y-%m-%dT%H:%M:%S") + f".{f['expires_ms'] % 1000:03d}Z"
    return (f"sealgrad decision v1\nledger: {origin}\ndecision: {kind[6:]}\nmodel: {f['model']}\nrole: {f['role']}\n"
            f"reason: {f['reason']}\nexpires: {until}\nnonce: {f['human']['nonce']}\n").encode()


class Signers:
    """An allowed_signers file; lines of certificate authorities are skipped, times are UTC."""

    def __init__(self, path):
        self.lines = []
        for line in open(path, encoding="utf-8"):
            words = re.findall(r'(?:[^\s"]|"[^"]*")+', line)
            if not words or words[0].startswith("#"):
                continue
            options = {}
            if "cert-authority" in words[1]:
                continue
            if '"' in words[1]:
                options = dict(re.findall(r'([a-z-]+)="([^"]*)"', words.pop(1)))
            names = options.get("namespaces", "*").split(",")
            self.lines.append((words[0].strip('"').split(",")[0], fingerprint(unbase64(words[2])), {"*", "sealgrad"} & set(names),
                               self.time(options.get("valid-after"), 0), self.time(options.get("valid-before"), 1 << 62)))

    @staticmethod
    def time(text, otherwise):
        if text is None:
            return otherwise
        digits = text.rstrip("Z").ljust(14, "0")
        t = datetime.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
        return int(t.timestamp() * 1000)

    def name(self, key, time_ms):
        return next((n for n, k, us, after, before in self.lines if k == key and us and after <= time_ms < before), None)


class Past:
    """Rules about events that leave no row."""

    def __init__(self):
        self.beats, self.models, self.nonces, self.erased, self.previous_ms = {}, {}, set(), set(), 0
        self.lost, self.signed = {}, []

    def heartbeat(self, seq, p, f):
        last = self.beats.get(f["run_id"], {"beat": 0, "step": 0})
        intervals = (f["interval_s"], f["interval_steps"])
        if f["beat"] != last["beat"] + 1 or f["step"] < last["step"]:
            raise Fault("a heartbeat that does not follow the one before it")
        if (intervals[0] is None) == (intervals[1] is None) or any(i is not None and (type(i) is not int or i < 1) for i in intervals):
            raise Fault("a heartbeat without an interval")
        if last.get("intervals", intervals) != intervals:
            raise Fault("a heartbeat with another interval than the run's")
        self.beats[f["run_id"]] = {"beat": f["beat"], "step": f["step"], "intervals": intervals, "time": p["time"]}

    def gap(self, f):
        if type(f["from_ms"]) is not int or type(f["to_ms"]) is not int or f["from_ms"] > f["to_ms"]:
            raise Fault("a gap that ends before it begins")
        if f["kind"] == "no_process":
            self.lost[f["run_id"]] = True
        elif f["kind"] != "journal" or f["run_id"] is not None or f["from_ms"] != self.previous_ms:
            raise Fault("a gap of no kind, or one that does not begin at the event before it")

    def anomaly(self, f):
        now, before, offset = f["clock"]["boot_id"], f["boot_id_before"], f["offset_ms"]
        if f["kind"] == "boot":
            good = before is not None and f["expected_ms"] is None and offset is None and now != before
        else:
            good = before is None and offset != 0 and offset == f["wall_ms"] - f["expected_ms"] and (
                f["kind"] == "jump" or f["kind"] == "behind" and offset < 0 and f["expected_ms"] == self.previous_ms)
        if not good:
            raise Fault("a clock anomaly of no kind, or one that its times do not show")

    def approvers(self, model, time_ms):
        return {k for k, until in self.models.get(model, {}).items() if until is None or until > time_ms}

    def decision(self, kind, p, f):
        human, signature = f.get("human"), None
        if human is not None:
            if set(human) != {"nonce", "name", "sshsig"} or len(human["nonce"]) != 32 or not is_or_none(human["name"], str):
                raise Fault("a decision's signature is malformed")
            if bytes.fromhex(human["nonce"]).hex() != human["nonce"]:
                raise Fault("a decision's nonce is malformed")
            signature = Sshsig(unbase64(human["sshsig"]))
            if not signature.verify(document(p["origin"], kind, f)):
                raise Fault("the signature under a decision does not verify")
            if human["nonce"] in self.nonces:
                raise Fault("a document that a person signed once is used again")
            self.nonces.add(human["nonce"])
            if kind == "model.approve":
                if signature.fingerprint in self.approvers(f["model"], p["time_ms"]):
                    raise Fault("the same key approves twice")
                self.models.setdefault(f["model"], {})[signature.fingerprint] = f["expires_ms"]
        needs = f.get("needs", 1)
        if type(needs) is not int or needs < 1 or "needs" in f and len(self.approvers(f["model"], p["time_ms"])) < needs:
            raise Fault("fewer people approved than the event says it needs")
        if kind == "model.retire":
            self.models.pop(f["model"], None)
        self.signed.append((kind, p, f, signature))


def is_account(name, account):
    return name is not None and name.split("@")[0] == account


def against_policy(derived, signers, needs, four_eyes):
    """Decisions that are not as the verifier asks: names for keys, how many people, not the developer."""
    found, approvers = [], {}
    if not (signers or needs or four_eyes):
        return found
    for kind, p, f, signature in derived.past.signed:
        place, person = f"leaf {p['seq']}", None
        if signature:
            person = signers.name(signature.fingerprint, p["time_ms"]) if signers else f["human"]["name"] or signature.fingerprint
            if person is None or f["human"]["name"] not in (None, person):
                found.append((place, "it is not signed by whom the list of signers and the event name"))
        elif not signers:
            person = p["by"]["user"]
        run = min(n for (n, _), a in derived.artifacts.items() if a[1] == f["model"])
        developer, names = derived.runs[run][13], approvers.setdefault(f["model"], {})
        if kind == "model.approve":
            if four_eyes and is_account(person, developer):
                found.append((place, "whoever developed the model approved it"))
            if person is not None:
                names[person] = f["expires_ms"]
        elif kind == "model.retire":
            names.clear()
        elif needs or four_eyes:
            n = sum((u is None or u > p["time_ms"]) and not (four_eyes and is_account(a, developer)) for a, u in names.items())
            if n < (needs or 1):
                found.append((place, f"{n} people approved, {needs or 1} are needed"))
    return found


class Derived:
    def __init__(self):
        self.keys, self.populations, self.datasets, self.runs = {}, {}, {}, {}
        self.params, self.metrics, self.artifacts = {}, {}, {}
        self.decisions, self.erasures = {}, {}
        self.programmes, self.fixed, self.drawn = {}, {}, {}
        self.past = Past()

    def event(self, seq, kind, p):
        f = p["facts"]
        if kind in ("ledger.genesis", "key.add"):
            _, _, public = parse_vkey(f["key"])
            if label(public) in self.keys:
                raise Fault("a key is added twice")
            self.keys[label(public)] = ["root" if kind == "ledger.genesis" else f["role"], f["key"], seq, None, None]
        elif kind == "key.revoke":
            self.keys[f["key_id"]][3:] = [seq, f["compromised_since_ms"]]
        elif kind == "dataset.register":
            limits = [f["unit"], int(f["epsilon_limit"] is not None), f["epsilon_limit"], f["delta_limit"], f["filter_order"]]
            if self.populations.setdefault(f["population"], limits + [seq])[:5] != limits:
                raise Fault("the population's limits changed")
            if not is_or_none(f.get("retention_class"), str) or not is_or_none(f.get("retain_until_ms"), int):
                raise Fault("the dataset's retention is malformed")
            if f["name"] in self.datasets:
                raise Fault("the dataset's name is taken")
            self.datasets[f["name"]] = [f["population"], f["unit"], f["population_size"], int(f["public"]), f["row_bucket"],
                                        bytes.fromhex(f["commitment"]), bytes.fromhex(f["schema_digest"]), seq]
        elif kind == "programme.register":
            self.programme(seq, p, f)
        elif kind == "run.start":
            self.start(seq, p, f)
        elif kind in ("run.complete", "run.fail", "run.abort"):
            self.end(seq, kind, p, f)
        elif kind in ("model.approve", "model.deploy", "model.retire"):
            made = sorted(n for (n, _), a in self.artifacts.items() if a[1] == f["model"])
            if not made:
                raise Fault("no run of this ledger made that model")
            self.decisions[seq] = [kind, f["model"], made[0], p["by"]["user"], self.runs[made[0]][13], f["role"], f["reason"],
                                   f["expires_ms"], p["time_ms"]]
            self.past.decision(kind, p, f)
        elif kind == "run.heartbeat":
            run = self.open_run(f)
            if f["start_leaf"] != run[20] or not 0 <= f["step"] <= run[11]:
                raise Fault("a heartbeat's step or first leaf cannot be the run's")
            self.past.heartbeat(seq, p, f)
        elif kind == "ledger.gap":
            if f["kind"] == "no_process" and f["from_ms"] != self.open_run(f)[15]:
                raise Fault("a gap that does not begin when its run did")
            self.past.gap(f)
        elif kind == "clock.anomaly":
            self.past.anomaly(f)
        elif kind == "run.erase":
            made = {a[1] for (n, _), a in self.artifacts.items() if n == f["run_no"]}
            if self.runs[f["run_no"]][0] != f["run_id"] or not f["destroyed"] or not set(f["destroyed"]) <= made:
                raise Fault("an erasure of what is no file of that run")
            if f["run_id"] in self.past.erased or not isinstance(f["basis"], str):
                raise Fault("a second erasure of a run's file")
            self.past.erased.add(f["run_id"])
        elif kind == "dataset.erase":
            if f["dataset"] not in self.datasets or f["dataset"] in self.erasures:
                raise Fault("an erasure of an unknown dataset, or a second one")
            self.erasures[f["dataset"]] = [f["basis"], p["by"]["user"], p["time_ms"], seq]
        else:
            raise Fault(f"unknown event type {kind}")
        self.past.previous_ms = p["time_ms"]

    def open_run(self, f):
        run = self.runs.get(f["run_no"])
        if not run or run[0] != f["run_id"] or run[3] != "running":
            raise Fault("an event of a run that is not under way")
        return run

    def programme(self, seq, p, f):
        plan, budget = f["plan"], f["budget"] or {}
        if f["programme_id"] in self.programmes or f["runs"] < 1 or not plan["private"]:
            raise Fault("a programme's id is taken, it has no runs, or its plan is not private")
        if self.datasets.get(f["dataset"], [None])[0] != f["population"]:
            raise Fault("the programme's dataset is not registered under its population")
        if (f["budget"] is not None) != bool(self.populations[f["population"]][1]):
            raise Fault("a programme on limited people without a reservation, or the reverse")
        if f["delta"] != plan["delta"] or f["epsilon"] < plan["epsilon"] * (1 - 1e-9):
            raise Fault("a programme that costs less than one of its runs")
        self.fixed[f["programme_id"]], self.drawn[f["programme_id"]] = plan, 0
        self.programmes[f["programme_id"]] = [f["dataset"], f["population"], f["runs"], plan["epsilon"], f["epsilon"], f["delta"],
                                              plan["neighboring_relation"], budget.get("rho"), budget.get("delta_slack"),
                                              p["by"]["user"], p["time_ms"], seq]

    def draw(self, f):
        name = f["programme"]
        if self.programmes.get(name, [None, None])[1] != f["population"]:
            raise Fault("the run's programme is not registered for its population")
        self.drawn[name] += 1
        if self.drawn[name] > self.programmes[name][2]:
            raise Fault("all runs of the programme were drawn before")
        if f["plan"] != self.fixed[name] or f["budget"] is not None:
            raise Fault("a drawn run has another plan than its programme, or a reservation of its own")

    def start(self, seq, p, f):
        plan, budget = f["plan"], f["budget"] or {}
        if f["run_no"] in self.runs or any(r[0] == f["run_id"] for r in self.runs.values()):
            raise Fault("the run's number or id is taken")
        if self.datasets.get(f["dataset"], [None])[0] != f["population"]:
            raise Fault("the run's dataset is not registered under its population")
        if not plan["private"] and not self.datasets[f["dataset"]][3]:
            raise Fault("a run without privacy on people whose privacy is limited")
        if bytes.fromhex(f["data_commitment"]) != self.datasets[f["dataset"]][5]:
            raise Fault("the run's data commitment is not that of its dataset")
        private = plan["private"]
        self.runs[f["run_no"]] = [f["run_id"], f["dataset"], f["population"], "running", None, int(private),
                                  plan["epsilon"] if private else None, plan["delta"] if private else None,
                                  plan["neighboring_relation"] if private else None, budget.get("rho"), budget.get("delta_slack"),
                                  plan["steps"], None, p["by"]["user"], p["by"]["host"], p["time_ms"], None, f["code_digest"],
                                  f["base_model_digest"], int(f["secret_supplied"]), seq, None, f["programme"]]
        if f["programme"] is not None:
            self.draw(f)
        for part in ("configuration", "parameters"):
            for name, value in flat(part, f[part] or {}):
                self.params[f["run_no"], name] = [value, seq]

    def end(self, seq, kind, p, f):
        run = self.runs.get(f["run_no"])
        if not run or run[0] != f["run_id"] or run[3] != "running":
            raise Fault("an end without a run that waits for it")
        if f["steps_done"] < self.past.beats.pop(f["run_id"], {"step": 0})["step"]:
            raise Fault("fewer steps done than the last heartbeat says")
        run[3] = {"run.complete": "complete", "run.fail": "failed", "run.abort": "aborted"}[kind]
        run[4], run[12], run[16], run[21] = f["reason"], f["steps_done"], p["time_ms"], seq
        for i, m in enumerate(f["metrics"]):
            self.metrics[f["run_no"], i] = [m["name"], m["value"], m["split"], m["released"], seq]
        for i, a in enumerate(f["artifacts"]):
            self.artifacts[f["run_no"], i] = [a["name"], a["sha256"], a["bytes"], seq]


def same(have, want):
    """Cells of SQLite against values of JSON: an integer 1 stored in a REAL column reads 1.0; a parameter that is not text is its
    JSON, which may print a number in more than one way."""
    if isinstance(want, float) or isinstance(have, float):
        return isinstance(have, (int, float)) and isinstance(want, (int, float)) and float(have) == float(want)
    return type(have) is type(want) and have == want


def same_param(have, want):
    if isinstance(want, str):
        return have == want
    try:
        return json.loads(have) == want
    except ValueError:
        return False


NEWEST = 10000  # events


class Verifier:
    def __init__(self, db, trust, tsa_ca, newest=NEWEST):
        """`newest`: every signature of so many newest events; None: of all."""
        self.db, self.trust, self.tsa_ca, self.newest = db, trust, tsa_ca, newest
        self.last, self.all_from, self.vouched, self.pending, self.checked = 0, 0, set(), None, 0
        self.problems, self.tree, self.derived = [], Tree(), Derived()
        self.origin, self.signers, self.root_label, self.root_public = None, {}, None, None
        self.previous, self.last_ms, self.derive_ok = bytes(32), 0, True
        self.texts, self.witnessed, self.nodes, self.times, self.late = {}, 0, {}, [], 0
        self.named, self.suspect = [], 0

    def problem(self, place, text):
        self.problems.append((place, text))

    def schema(self):
        found = {}
        for kind, name, sql in self.db.execute("SELECT type, name, sql FROM sqlite_schema"):
            found[kind] = found.get(kind, 0) + 1
            if kind == "view":
                self.problem("file", "it has a view")
        for kind, n in OBJECTS.items():
            if found.get(kind, 0) != n:
                self.problem("file", f"it has {found.get(kind, 0)} {kind}s, a ledger has {n}")
        for table, columns in EVIDENCE.items():
            have = [r[1] for r in self.db.execute(f"PRAGMA table_xinfo({table})")]
            if have != columns:
                self.problem("file", f"table {table} has other columns")
        if self.db.execute("PRAGMA application_id").fetchone()[0] != 0x53474C31:
            self.problem("file", "application_id")
        if self.db.execute("PRAGMA user_version").fetchone()[0] != 2:
            self.problem("file", "user_version")
        for (text,) in self.db.execute("PRAGMA integrity_check(20)"):
            if text != "ok":
                self.problem("file", text)

    def leaf(self, row):
        seq, event_id, ts_ms, kind, body, stored, prev = row
        self.times.append(ts_ms)
        n = self.tree.size
        if seq != n:
            raise Fault(f"event {seq} stands where {n} should")
        if stored != leaf_hash(body):
            self.problem(f"leaf {n}", "its bytes do not have the stored hash")
        if prev != self.previous:
            self.problem(f"leaf {n}", "prev_hash")
        try:
            self.event(n, event_id, ts_ms, kind, body)
        except (Fault, ValueError, KeyError, TypeError, AttributeError, OSError, OverflowError) as e:
            self.problem(f"leaf {n}", f"{type(e).__name__}: {e}")
            self.derive_ok = False
        self.previous = leaf_hash(body)
        for level, idx, h in self.tree.append(self.previous):
            self.nodes[level, idx] = h

    def event(self, n, event_id, ts_ms, kind, body):
        envelope = load(body)
        if len(body) > 65535 or set(envelope) != {"payloadType", "payload", "signatures"} or len(envelope["signatures"]) != 1:
            raise Fault("not the envelope of a leaf")
        one = envelope["signatures"][0]
        self.named.append(one.get("keyid"))
        if envelope["payloadType"] != "application/vnd.in-toto+json" or set(one) != {"keyid", "sig"}:
            raise Fault("not the envelope of a leaf")
        payload = unbase64(envelope["payload"])
        statement = load(payload)
        p = statement["predicate"]
        uri = statement["predicateType"]
        if statement["_type"] != "https://in-toto.io/Statement/v1" or not uri.startswith("urn:sealgrad:event:") or uri[-2:] != ":1":
            raise Fault("not a statement of a ledger")
        said = uri[len("urn:sealgrad:event:"):-2]
        if n == 0:
            self.genesis(said, p)
        pae = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
        self.signature(n, one["keyid"], pae, unbase64(one["sig"]), n == 0 or n >= self.all_from or said.startswith("key."))
        if (p["event_id"], p["time_ms"], said) != (event_id, ts_ms, kind):
            self.problem(f"leaf {n}", "its columns do not repeat its bytes")
        if p["seq"] != n or bytes.fromhex(p["prev"]) != self.previous or p["origin"] != self.origin:
            self.problem(f"leaf {n}", "its bytes say that it stands elsewhere")
        if p["time_ms"] < self.last_ms:
            self.problem(f"leaf {n}", "time runs back")
        self.last_ms = max(self.last_ms, p["time_ms"])
        if said.startswith("key.") and one["keyid"] != self.root_label:
            self.problem(f"leaf {n}", "a change of keys that the root key did not sign")
        if self.derive_ok:
            self.derived.event(n, said, p)
        if said == "key.add":
            public = parse_vkey(p["facts"]["key"])[2]
            self.signers[label(public)] = public
        elif said == "key.revoke" and self.signers.pop(p["facts"]["key_id"], None):
            since, revoked = p["facts"]["compromised_since_ms"], p["facts"]["key_id"]
            self.suspect += since is not None and sum(by == revoked and at >= since for at, by in zip(self.times, self.named))

    def signature(self, n, signer, pae, signature, is_now):
        """Each event names the one before it, so the last of a stretch by one key vouches for the stretch."""
        if self.pending and self.pending[1] != signer:
            self.stretch()
        self.pending = (n, signer, pae, signature)
        if signer not in self.signers:
            self.pending = None
            self.problem(f"leaf {n}", "its signature is not by a key in force")
        elif is_now:
            self.stretch()

    def stretch(self):
        if self.pending:
            n, signer, pae, signature = self.pending
            self.pending, self.checked = None, self.checked + 1
            if not ED.verify(self.signers[signer], pae, signature):
                self.problem(f"leaf {n}", "its signature is not by a key in force")

    def genesis(self, said, p):
        name, kind, public = parse_vkey(p["facts"]["key"])
        if said != "ledger.genesis" or name != p["origin"] or kind == 4 or p["facts"]["schema_version"] != 2:
            raise Fault("not a genesis event")
        self.origin, self.root_label, self.root_public = name, label(public), public
        self.signers[self.root_label] = public

    def checkpoint(self, row):
        size, root, note = row
        n = self.tree.size
        if size != n:
            raise Fault(f"checkpoint {size} stands where {n} should")
        expected = f"{self.origin}\n{n}\n{base64.b64encode(self.tree.root()).decode()}\n"
        if root != self.tree.root() or not note.startswith(expected + "\n"):
            self.problem(f"checkpoint {n}", "it is not the one that follows from the leaves")
            return
        self.texts[n] = expected
        lines = note[len(expected) + 1:].split("\n")
        blob = note_line(lines[0], self.origin) if len(lines) == 2 and lines[1] == "" else None
        wanted = n > self.all_from or n == self.last or n in self.vouched
        self.checked += wanted
        if blob is None or wanted and not any(blob[:4] == key_id(self.origin, 1, k) and ED.verify(k, expected.encode(), blob[4:])
                                              for k in self.signers.values()):
            self.problem(f"checkpoint {n}", "its signature")

    def cosignatures(self):
        seen = {}
        for size, witness, line in self.db.execute("SELECT size, witness, line FROM cosignature ORDER BY size"):
            try:
                blob = note_line(line[:-1], witness)
                if blob is None or line[-1:] != "\n" or "\n" in line[:-1] or size not in self.texts:
                    raise Fault("malformed, or of no checkpoint")
                known = [(n, k) for n, k in (self.trust.witnesses.items() if self.trust else []) if k[0] == witness]
                message = f"cosignature/v1\ntime {int.from_bytes(blob[4:12], 'big')}\n{self.texts[size]}".encode()
                good = [n for n, (name, k) in known if blob[:4] == key_id(name, 4, k) and ED.verify(k, message, blob[12:])]
                if known and not good:
                    raise Fault("it does not verify")
                seen.setdefault(size, set()).update(good)
            except (Fault, ValueError) as e:
                self.problem(f"cosignature {size}", str(e))
        for size, names in seen.items():
            if self.trust and self.trust.met(names):
                self.witnessed = max(self.witnessed, size)

    def timestamps(self):
        for size, token in self.db.execute("SELECT size, token FROM tsa ORDER BY size"):
            if size not in self.texts:
                self.problem(f"time stamp {size}", "of no checkpoint")
                continue
            text = self.texts[size].encode()
            imprint = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text).digest()
            path = ED.path("token", token)
            how = ["-reply", "-token_in", "-in", path, "-token_out", "-text"]
            if self.tsa_ca:
                how = ["-verify", "-token_in", "-in", path, "-data", ED.path("message", text), "-CAfile", self.tsa_ca]
            done = subprocess.run(["openssl", "ts", *how], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if done.returncode or imprint not in token:
                self.problem(f"time stamp {size}", "it does not stamp this checkpoint, or does not verify")
            elif self.tsa_ca:
                at = token.index(imprint) + len(imprint)
                at += 2 + token[at + 1]  # the serial number stands between imprint and GeneralizedTime
                digits = token[at + 2:at + 16].decode()
                when = datetime.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
                self.late += self.times[size - 1] - when.timestamp() * 1000 > 600000

    def rows(self, table, n_key, want, equal=same):
        want, n = dict(want), 0
        for row in self.db.execute(f"SELECT * FROM {table}"):
            key = row[:n_key] if n_key > 1 else row[0]
            values = want.pop(key, None)
            n += 1
            if values is None:
                self.problem(f"table {table}", f"row {key}: no event says so")
            elif len(row) - n_key != len(values) or not all(equal(a, b) for a, b in zip(row[n_key:], values)):
                self.problem(f"table {table}", f"row {key}: the events say otherwise")
        for key in want:
            self.problem(f"table {table}", f"row {key} is missing")

    def tables(self):
        if not self.derive_ok:
            self.problem("tables", "they were not compared, since not every event could be read")
            return
        d = self.derived
        self.rows("signing_key", 1, d.keys)
        self.rows("population", 1, d.populations)
        self.rows("dataset", 1, d.datasets)
        self.rows("run", 1, d.runs)
        self.rows("programme", 1, d.programmes)
        self.rows("param", 2, d.params, lambda a, b: same_param(a, b) if not isinstance(a, int) else a == b)
        self.rows("metric", 2, d.metrics)
        self.rows("artifact", 2, d.artifacts)
        self.rows("decision", 1, d.decisions)
        self.rows("erasure", 1, d.erasures)

    def run(self):
        self.schema()
        if self.problems:
            return
        self.last = self.db.execute("SELECT coalesce(max(seq) + 1, 0) FROM leaf").fetchone()[0]
        self.all_from = 0 if self.newest is None else max(0, self.last - self.newest)
        self.vouched = {r[0] for r in self.db.execute("SELECT size FROM cosignature UNION SELECT size FROM tsa")}
        checkpoints = self.db.execute("SELECT size, root, note FROM checkpoint ORDER BY size")
        for row in self.db.execute("SELECT seq, event_id, ts_ms, type, body, leaf_hash, prev_hash FROM leaf ORDER BY seq"):
            self.leaf(row)
            self.checkpoint(checkpoints.fetchone() or (None, None, None))
        self.stretch()
        if checkpoints.fetchone():
            self.problem("table checkpoint", "checkpoints beyond the last event: events were cut off")
        if not self.tree.size:
            self.problem("table leaf", "it holds no event")
        self.rows("node", 2, {k: [h] for k, h in self.nodes.items()})
        self.cosignatures()
        self.timestamps()
        self.tables()
        if self.trust and self.root_public and not self.trust.has_log(self.origin, self.root_public):
            self.problem("leaf 0", "the ledger was made with another key than the one you trust")


def kept(v, path):
    """A checkpoint that the verifier kept: the ledger must continue it. It is his own, so nobody's signature is asked for."""
    _, (origin, size, root), _ = note_of(open(path, encoding="utf-8", newline="").read())
    if origin != v.origin:
        v.problem("kept checkpoint", "it is of another ledger")
    elif size > v.tree.size:
        v.problem("kept checkpoint", f"it has {size} events, this file only {v.tree.size}")
    elif size and v.texts.get(size, "").split("\n")[2:3] != [base64.b64encode(root).decode()]:
        v.problem(f"checkpoint {size}", "its root is not that of the checkpoint kept by the verifier")


# ---- A proof file.
def note_of(note):
    """The text, what it says (origin, size, root), and the signature lines of a signed checkpoint."""
    text, blank, lines = note.rpartition("\n\n")
    text += "\n"
    words = text.split("\n")
    if not blank or not lines.endswith("\n") or len(words) < 4 or not re.fullmatch("0|[1-9][0-9]*", words[1], re.A) or len(unbase64(words[2])) != 32:
        raise Fault("not a signed checkpoint")
    lines = lines[:-1].split("\n")
    if len(lines) > 64 or any(not re.fullmatch(DASH + "[^ ]+ [^ ]+", line) or len(unbase64(line.split(" ")[2])) < 5 for line in lines):
        raise Fault("a signature line is malformed")
    return text, (words[0], int(words[1]), unbase64(words[2])), lines


def signed_by(text, lines, name, kind, public):
    """Whether this key signed; a signature that names it and does not verify makes the note worthless."""
    found = False
    for line in lines:
        blob = note_line(line, name)
        if blob is None or blob[:4] != key_id(name, kind, public):
            continue
        message = f"cosignature/v1\ntime {int.from_bytes(blob[4:12], 'big')}\n{text}" if kind == 4 else text
        if not ED.verify(public, message.encode(), blob[12 if kind == 4 else 4:]):
            raise Fault(f"the signature of {name} does not verify")
        found = True
    return found


def root_by_proof(h, index, size, proof):
    """RFC 9162, 2.1.3.2."""
    fn, sn = index, size - 1
    for step in proof:
        if sn == 0:
            raise Fault("the proof is too long")
        if fn & 1 or fn == sn:
            h = node_hash(step, h)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            h = node_hash(h, step)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Fault("the proof is too short")
    return h


def check_proof(data, trust):
    """What it proves, whether by a trusted key, and whether by enough witnesses."""
    text = data.decode("utf-8")
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Fault("not a proof file of a ledger")
    leaf, index, proof = unbase64(lines[1][6:]), int(lines[2][6:]), [unbase64(h) for h in lines[3:]]
    if not re.fullmatch("0|[1-9][0-9]*", lines[2][6:], re.A) or len(proof) > 63 or any(len(h) != 32 for h in proof):
        raise Fault("not a proof file of a ledger")
    text, (origin, size, root), signatures = note_of(note)
    is_trusted = False
    for name, kind, public in trust.logs if trust else []:
        name = name if trust.is_policy else origin
        is_trusted |= signed_by(text, signatures, name, kind, public) and name == origin
    if trust and not is_trusted:
        raise Fault("its checkpoint is not signed by the key you trust")
    seen = [n for n, (name, k) in trust.witnesses.items() if signed_by(text, signatures, name, 4, k)] if trust else []
    if index >= size or root_by_proof(leaf_hash(leaf), index, size, proof) != root:
        raise Fault("the event is not in the tree that the checkpoint signs")
    envelope = load(leaf)
    p = load(unbase64(envelope["payload"]))["predicate"]
    if p["seq"] != index or p["origin"] != origin:
        raise Fault("the event says that it stands elsewhere")
    return f"event {index} of {size} of {origin}", is_trusted, bool(trust) and trust.met(set(seen))


def main_proof(data, trust, args):
    try:
        what, is_trusted, is_witnessed = check_proof(data, trust)
    except (Fault, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as e:
        print(f"BROKEN: {type(e).__name__}: {e}")
        return 3
    enough = (is_trusted or args.allow_self_trust) and (is_witnessed or args.allow_unwitnessed)
    print(f"{'PROVEN' if enough else 'INCOMPLETE'}: {what}{'' if is_trusted else '; no --trust'}"
          f"{'' if is_witnessed else '; no witness'}")
    return 0 if enough else 4


def verdict(v, args):
    opened = [r[0] for r in v.derived.runs.values() if r[3] == "running"] if v.derive_ok else []
    beats = v.derived.past.beats
    opened = [f"{r} (last heartbeat: step {beats[r]['step']} at {beats[r]['time']})" if r in beats else r for r in opened]
    if v.problems:
        return 3, f"BROKEN: {len(v.problems)} problems"
    lacks = []
    unapproved = against_policy(v.derived, args.signers, args.needs, args.four_eyes) if v.derive_ok else []
    lacks += [f"{place}: {text}" for place, text in unapproved]
    if v.late:
        lacks.append("events that claim a time after the time stamp that covers them")
    if v.suspect:
        lacks.append(f"{v.suspect} events signed by a key while it was compromised")
    if opened:
        lacks.append(f"runs that never ended: {', '.join(opened)}")
    if not args.trust and not args.allow_self_trust:
        lacks.append("no --trust")
    if v.witnessed < v.tree.size and not args.allow_unwitnessed:
        lacks.append("the newest checkpoint has no witness")
    word = "INCOMPLETE" if lacks else "INTACT"
    said = f"{word}: {v.tree.size} events of {v.origin} (epsilon was not recomputed; {v.checked} of {2 * v.tree.size} signatures checked)"
    return (4 if lacks else 0), "; ".join([said] + lacks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--trust")
    parser.add_argument("--since")
    parser.add_argument("--tsa-ca")
    parser.add_argument("--allowed-signers")
    parser.add_argument("--needs", type=int, default=0)
    parser.add_argument("--four-eyes", action="store_true")
    parser.add_argument("--allow-unwitnessed", action="store_true")
    parser.add_argument("--allow-self-trust", action="store_true")
    parser.add_argument("--all-signatures", action="store_true")
    parser.add_argument("--newest", type=int, default=NEWEST)
    args = parser.parse_args()
    try:
        trust = Trust(args.trust) if args.trust else None
        args.signers = Signers(args.allowed_signers) if args.allowed_signers else None
        path = os.path.abspath(args.file)
        with open(path, "rb") as file:
            begin = file.read(16)
        if args.since:
            note_of(open(args.since, encoding="utf-8", newline="").read())
    except (OSError, Fault, ValueError, KeyError, IndexError) as e:
        print(f"verify_ledger: {e}", file=sys.stderr)
        return 2
    if begin == b"c2sp.org/tlog-pr":
        return main_proof(open(path, "rb").read(1 << 20), trust, args)
    v = Verifier(None, trust, args.tsa_ca, None if args.all_signatures else max(1, args.newest))
    try:
        v.db = sqlite3.connect("file:" + path.replace("?", "%3f").replace("#", "%23") + "?mode=ro", uri=True)
        v.db.execute("PRAGMA trusted_schema=OFF")
        v.run()
        if args.since:
            kept(v, args.since)
    except (sqlite3.Error, Fault, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as e:
        v.problem("file", f"{type(e).__name__}: {e}")
    status, sentence = verdict(v, args)
    print(sentence)
    for place, text in v.problems:
        print(f"BROKEN {place}: {text}")
    return status


if __name__ == "__main__":
    sys.exit(main())
