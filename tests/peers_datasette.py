"""Datasette serves the ledger with the exported metadata: every canned query answers.

    peers_datasette.py LEDGER METADATA
"""
import importlib.metadata
import json
import subprocess
import sys

ledger, metadata = sys.argv[1:3]
queries = json.load(open(metadata, encoding="utf-8"))["databases"]["ledger"]["queries"]
for name in queries:
    done = subprocess.run([sys.executable, "-m", "datasette", ledger, "--metadata", metadata, "--get",
                           f"/ledger/{name}.json?_shape=array&subject="], capture_output=True, text=True)
    assert done.returncode == 0 and isinstance(json.loads(done.stdout), list), (name, done.stdout, done.stderr)
print(f"Datasette {importlib.metadata.version('datasette')}, {len(queries)} queries")
