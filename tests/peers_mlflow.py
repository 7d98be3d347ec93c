"""MLflow reads the exported file store, finds what the ledger says, and moves it into its own database.

    peers_mlflow.py EXPORT_FOLDER LEDGER
"""
import os
import sqlite3
import subprocess
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # versions from 3.7 on ask for this
folder, ledger = map(os.path.abspath, sys.argv[1:3])
os.chdir(folder)
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

db = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
STATUS = {"complete": "FINISHED", "failed": "FAILED", "aborted": "KILLED", "running": "RUNNING"}


def compare(client):
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert len(experiments) == 1, experiments
    runs = {r.info.run_id: r for r in client.search_runs([experiments[0].experiment_id])}
    rows = db.execute("SELECT run_no, run_id, status, started_ms, ended_ms, epsilon, dataset, actor FROM run").fetchall()
    assert set(runs) == {row[1] for row in rows}, "the runs are not those of the ledger"
    for run_no, run_id, status, started, ended, epsilon, dataset, actor in rows:
        run = runs[run_id]
        assert run.info.status == STATUS[status] and run.info.start_time == started and run.info.end_time == ended
        assert run.data.metrics.get("privacy.epsilon") == epsilon
        assert run.data.tags["mlflow.user"] == actor and run.data.tags["sealgrad.run_no"] == str(run_no)
        for name, value in db.execute("SELECT name, value FROM param WHERE run_no = ?", (run_no,)):
            assert run.data.params[name] == value, name
        for name, value, split in db.execute("SELECT name, value, split FROM metric WHERE run_no = ?", (run_no,)):
            assert run.data.metrics[f"{split}.{name}"] == value, name
        assert [d.dataset.name for d in run.inputs.dataset_inputs] == [dataset]
        assert client.list_artifacts(run_id) == []
    best = client.search_runs([experiments[0].experiment_id], filter_string="metrics.`validation.auc` > 0.7",
                              order_by=["metrics.`privacy.epsilon` ASC"])
    assert len(best) == db.execute("SELECT count(*) FROM metric WHERE name = 'auc' AND value > 0.7").fetchone()[0]
    return len(rows)


n = compare(MlflowClient(tracking_uri="file:./mlruns"))
said = "the file store"
moved = subprocess.run([sys.executable, "-m", "mlflow", "migrate-filestore", "--source", "mlruns", "--target", "sqlite:///moved.db"],
                       capture_output=True, text=True)
if "No such command" not in moved.stderr:
    assert moved.returncode == 0, moved.stderr
    compare(MlflowClient(tracking_uri="sqlite:///moved.db"))
    said += " and its migrated database"
print(f"MLflow {mlflow.__version__}, {n} runs through {said}")
