"""OpenLineage's client takes the events apart and puts them together; where its schemas can be had, they check them too.

    peers_openlineage.py EVENTS_JSONL
"""
import importlib.metadata
import json
import sys

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

n = 0
for line in open(sys.argv[1], encoding="utf-8"):
    event = json.loads(line)
    RunEvent(  # its validators refuse a run id that is no UUID, a time without zone and a producer that is no URI
        eventType=RunState[event["eventType"]],
        eventTime=event["eventTime"],
        run=Run(runId=event["run"]["runId"]),
        job=Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
        producer=event["producer"],
        inputs=[InputDataset(namespace=d["namespace"], name=d["name"]) for d in event["inputs"]],
        outputs=[OutputDataset(namespace=d["namespace"], name=d["name"]) for d in event["outputs"]],
    )
    n += 1
print(f"openlineage-python {importlib.metadata.version('openlineage-python')}, {n} events")
