"""OpenLineage's client takes the events apart and puts them together; where its schemas can be had, they check them too.

    peers_openlineage.py EVENTS_JSONL
"""
import importlib.metadata
import json
import sys

from openlineage.client.facet_v2 import dataset_version_dataset, error_message_run, job_type_job
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

FACETS = {"version": dataset_version_dataset.DatasetVersionDatasetFacet, "errorMessage": error_message_run.ErrorMessageRunFacet,
          "jobType": job_type_job.JobTypeJobFacet}


def check_facets(facets):
    """The standard facets have exactly the members of the client's own classes, and carry the same schema, perhaps of an earlier
    version; the others are marked as ours."""
    for name, facet in facets.items():
        members = {k: v for k, v in facet.items() if not k.startswith("_")}
        if name in FACETS:
            FACETS[name](**members)
            assert facet["_schemaURL"].rsplit("/", 1)[-1] == FACETS[name]._get_schema().rsplit("/", 1)[-1], facet
        else:
            assert name.startswith("sealgrad_"), name


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
    check_facets(event["run"]["facets"])
    check_facets(event["job"]["facets"])
    for data in event["inputs"] + event["outputs"]:
        check_facets(data["facets"])
    n += 1
print(f"openlineage-python {importlib.metadata.version('openlineage-python')}, {n} events")
