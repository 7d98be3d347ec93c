"""Would catch: an event that is not what its JSON schema says, an event type without a schema or a schema without an event, and
a schema that forbids nothing.

    schemas.py SEALGRAD MAKE_FIXTURE SCHEMA_FOLDER DERIVE_C
"""
import base64
import copy
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile

sealgrad, make_fixture, folder, derive_c = sys.argv[1:5]
PREFIX = "urn:sealgrad:event:"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties", "items",
         "minItems", "minimum", "pattern", "const", "enum", "anyOf"}


def is_type(value, name):
    if name in ("integer", "number"):
        return not isinstance(value, bool) and (isinstance(value, int) or name == "number" and isinstance(value, float))
    return isinstance(value, TYPES[name])


def fault(schema, value, root, place="$"):
    """The first thing that does not hold, or None: the part of draft 2020-12 that our schemas use, and no more."""
    if set(schema) - KNOWN:
        raise SystemExit(f"{place}: this validator does not know {set(schema) - KNOWN}")
    if "$ref" in schema:
        return fault(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root, place)
    if "anyOf" in schema and all(fault(s, value, root, place) for s in schema["anyOf"]):
        return f"{place}: none of its kinds"
    if "type" in schema and not is_type(value, schema["type"]):
        return f"{place}: not {schema['type']}"
    if "const" in schema and (value != schema["const"] or type(value) is not type(schema["const"])):
        return f"{place}: not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{place}: not among {schema['enum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{place}: not of its form"
    if "minimum" in schema and value < schema["minimum"]:
        return f"{place}: below {schema['minimum']}"
    if "minItems" in schema and len(value) < schema["minItems"]:
        return f"{place}: too few"
    if isinstance(value, list):
        return next((f for i, v in enumerate(value) if (f := fault(schema.get("items", {}), v, root, f"{place}[{i}]"))), None)
    if isinstance(value, dict):
        lacks = [k for k in schema.get("required", []) if k not in value]
        if lacks:
            return f"{place}: lacks {lacks}"
        for key, v in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            if inner is False:
                return f"{place}: {key} does not occur"
            if inner is not True and (f := fault(inner, v, root, f"{place}.{key}")):
                return f
    return None


def mutations(value, schema, root):
    """Copies that must not pass: each described member gone, of another kind, and one too many."""
    for path, is_required in paths(value, schema, root, ()):
        *way, last = path
        for change in ("gone", "kind") if is_required else ("kind",):
            changed = copy.deepcopy(value)
            inner = changed
            for key in way:
                inner = inner[key]
            if change == "gone":
                del inner[last]
            else:
                inner[last] = [[7]]
            yield f"{change}: {'.'.join(path)}", changed
    for way in ((), ("facts",), ("by",)):
        changed = copy.deepcopy(value)
        inner = changed
        for key in way:
            inner = inner[key]
        inner["surprise"] = 1
        yield f"surprise in {way}", changed


def paths(value, schema, root, way):
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for key in set(schema.get("properties", {})) & set(value):
        yield (*way, key), key in schema["required"]
        inner = schema["properties"][key]
        inner = inner["anyOf"][0] if "anyOf" in inner else inner
        if isinstance(value[key], dict):
            yield from paths(value[key], inner, root, (*way, key))


def events(path):
    for (body,) in sqlite3.connect(path).execute("SELECT body FROM leaf ORDER BY seq"):
        statement = json.loads(base64.b64decode(json.loads(body)["payload"]))
        yield statement["predicateType"], statement["predicate"]


def with_keys(at):
    """A ledger by the programs' own commands, with the two events about keys."""
    run = lambda *words: subprocess.run([sealgrad, *words], check=True, cwd=at, stdout=subprocess.DEVNULL)
    run("keygen", "--out", ".", "--no-passphrase")
    run("keygen", "--out", ".", "--no-passphrase", "--name", "other")
    run("ledger", "init", "keys.db", "--origin", "bank.example/keys", "--key", "signing.key")
    run("key", "add", "--ledger", "keys.db", "--root-key", "signing.key", "--new", "other.pub")
    run("key", "revoke", "--ledger", "keys.db", "--root-key", "signing.key", "--old", "other.pub")
    return os.path.join(at, "keys.db")


try:
    import jsonschema
except ImportError:
    jsonschema = None
schemas = {}
for name in os.listdir(folder):
    schema = json.load(open(os.path.join(folder, name)))
    if jsonschema:
        jsonschema.Draft202012Validator.check_schema(schema)
    if schema["$id"] != f"{PREFIX}{name[:-5]}:1":
        raise SystemExit(f"{name}: its $id is {schema['$id']}")
    schemas[schema["$id"]] = schema
code = open(derive_c).read()
in_code = {f"{PREFIX}{t}:1" for t in re.findall(r'^    \{"([a-z.]+)", derive_\w+\}', code, re.M)}
if len(in_code) < 15 or in_code != set(schemas):
    raise SystemExit(f"event types without a schema, or schemas without a type: {in_code ^ set(schemas)}")
extra = sys.argv[5:]  # ledgers of real training runs, where a test has one

n, n_bad, seen = 0, 0, set()
with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as top:
    ledgers = [with_keys(top), *extra]
    for kind in ("", "programme", "events", "p256"):
        at = os.path.join(top, kind or "plain")
        os.mkdir(at)
        subprocess.run([make_fixture, at, *([kind] if kind else [])], check=True)
        ledgers.append(os.path.join(at, "ledger.db"))
    for path in ledgers:
        for uri, predicate in events(path):
            schema = schemas[uri]
            wrong = fault(schema, predicate, schema)
            if jsonschema and not wrong:
                wrong = next((e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(predicate)), None)
            if wrong:
                raise SystemExit(f"{path}: {uri}: {wrong}")
            n += 1
            if uri in seen:
                continue
            seen.add(uri)
            for what, changed in mutations(predicate, schema, schema):
                n_bad += 1
                if not fault(schema, changed, schema) or (
                        jsonschema and jsonschema.Draft202012Validator(schema).is_valid(changed)):
                    raise SystemExit(f"{uri}: its schema lets this pass: {what}")
if seen != set(schemas):
    raise SystemExit(f"no event of {set(schemas) - seen} was held against its schema")
print(f"{n} events of {len(seen)} types pass, {n_bad} changed ones do not{'' if jsonschema else ' (without the jsonschema package)'}")
