/* DORA: Regulation (EU) 2022/2554 and the logging, key and change rules of Delegated Regulation (EU) 2024/1774, as far
 * as the record of training is an ICT record. Paraphrased. Without a model it is about the whole ledger. */
#include "pack.h"

static const struct sg_pack_provision provisions[] = {
    {"2022/2554 Article 8",
     "Identification of functions, information assets and their dependencies",
     "what exists, what depends on what",
     {{"datasets", SG_PACK_DATASET, NULL, "no dataset is registered"},
      {"models in use", SG_PACK_DECISION("model.deploy", "1"), NULL, "no deployment is recorded"},
      {NULL, NULL, NULL, "the systems that serve the models, and the functions they support"}}},
    {"2022/2554 Article 9(4)(c)",
     "Access rights",
     "who may do what",
     {{"who may write to the record", SG_PACK_KEYS, NULL, NULL},
      {"who did",
       "SELECT actor || ' on ' || host || ': ' || count(*) || ' runs', max(start_leaf) FROM run WHERE ?1 IS NULL OR "
       "run_no = "
       "?1 GROUP BY actor, host ORDER BY actor",
       NULL, NULL},
      {NULL, NULL, NULL, "rights on data and machines; reviews of rights"}}},
    {"2022/2554 Article 9(4)(e), 2024/1774 Article 17",
     "Change management",
     "changes recorded, tested, approved by others, with a way back",
     {{"approvals by somebody other than the developer", SG_PACK_DECISION("model.approve", "person <> developer"), NULL,
       "no approval by a second person is recorded"},
      {"deployments without such an approval",
       "SELECT d.model || ' by ' || d.person, d.leaf FROM decision d WHERE d.kind = 'model.deploy' AND (?2 IS NULL OR "
       "d.model = "
       "?2) AND NOT EXISTS(SELECT 1 FROM decision a WHERE a.model = d.model AND a.kind = 'model.approve' AND a.leaf < "
       "d.leaf "
       "AND a.person <> a.developer) ORDER BY d.leaf",
       NULL, NULL},
      {"retirements", SG_PACK_DECISION("model.retire", "1"), NULL, NULL},
      {NULL, NULL, NULL, "fall-back procedures, emergency changes"}}},
    {"2022/2554 Article 10, 2024/1774 Article 12(2)(e)",
     "Detection, and failure of logging itself",
     "anomalies and gaps in the logs are noticed",
     {{"runs that began and have no end", SG_PACK_OPEN, NULL, NULL},
      {"pauses of more than a day between events",
       "SELECT 'from leaf ' || (seq - 1) || ', ' || (ts_ms - before) / 3600000 || ' hours', seq FROM (SELECT seq, "
       "ts_ms, "
       "lag(ts_ms) OVER (ORDER BY seq) AS before FROM leaf) WHERE ts_ms - before >= 86400000 ORDER BY seq",
       NULL, NULL},
      {"a writer or a run that died",
       "SELECT type || ' at ' || strftime('%Y-%m-%dT%H:%M:%SZ', ts_ms / 1000, 'unixepoch'), seq FROM leaf WHERE type = "
       "'ledger.gap' ORDER BY seq",
       NULL, NULL},
      {"independent witness of the record", SG_PACK_WITNESS, NULL,
       "no witness: that the end of the record was cut off cannot be ruled out"},
      {NULL, NULL, NULL, "alerting on these, and who receives it"}}},
    {"2022/2554 Article 12",
     "Backup and restoration",
     "backups made, kept apart, and restored in tests",
     {{NULL, NULL, NULL, "backups (sealgrad ledger backup makes one; that it was made and tested is not recorded)"}}},
    {"2022/2554 Article 17",
     "Incident management",
     "incidents recorded and followed up",
     {{"runs that failed or were aborted",
       "SELECT run_id || ': ' || status || ', ' || coalesce(reason, 'no reason recorded'), end_leaf FROM run WHERE "
       "status IN "
       "('failed', 'aborted') AND (?4 IS NULL OR population = ?4) ORDER BY run_no",
       NULL, NULL},
      {"keys that were compromised",
       "SELECT key_id, ended_leaf FROM signing_key WHERE compromised_since_ms IS NOT NULL ORDER BY ended_leaf", NULL,
       NULL},
      {NULL, NULL, NULL, "the incident register itself"}}},
    {"2022/2554 Articles 28 to 30",
     "Third parties",
     "register of contracts with ICT providers",
     {{"models of others that training began from",
       "SELECT DISTINCT 'base model ' || base_model, min(start_leaf) FROM run WHERE base_model IS NOT NULL AND (?1 IS "
       "NULL OR "
       "run_no = ?1) GROUP BY base_model ORDER BY 2",
       NULL, NULL},
      {NULL, NULL, NULL, "the register of contracts"}}},
    {"2024/1774 Article 7",
     "Cryptographic keys over their lifetime",
     "generation, renewal, loss, revocation",
     {{"keys", SG_PACK_KEYS, NULL, NULL},
      {"data keys destroyed",
       "SELECT dataset || ': ' || basis || ', by ' || person, leaf FROM erasure WHERE ?3 IS NULL OR "
       "dataset = ?3 ORDER BY leaf",
       NULL, NULL},
      {NULL, NULL, NULL, "where keys are stored, and who holds their passphrases"}}},
    {"2024/1774 Article 12(2)(a)-(c)",
     "What is logged, how long, in which detail",
     "events to log, their retention, a level of detail that fits their purpose",
     {{"events by type", "SELECT type || ': ' || count(*), max(seq) FROM leaf GROUP BY type ORDER BY type", NULL, NULL},
      {NULL, NULL, NULL, "retention periods; access, network and operation logs of the machines"}}},
    {"2024/1774 Article 12(2)(d)",
     "Logs protected against tampering, deletion and unauthorised access",
     "at rest, in transit and in use",
     {{"newest signed checkpoint",
       "SELECT 'over ' || size || ' events, root ' || lower(hex(root)), size - 1 FROM checkpoint "
       "ORDER BY size DESC LIMIT 1",
       NULL, NULL},
      {"independent witness of the record", SG_PACK_WITNESS, NULL, "no witness: an older copy cannot be ruled out"},
      {NULL, NULL, NULL, "file permissions on the ledger and its side storage"}}},
    {"2024/1774 Article 12(2)(f)",
     "Clocks synchronised with a reliable source",
     "documented reference time",
     {{"clocks that jumped, fell behind or restarted",
       "SELECT type || ' at ' || strftime('%Y-%m-%dT%H:%M:%SZ', ts_ms / 1000, 'unixepoch'), seq FROM leaf WHERE type = "
       "'clock.anomaly' ORDER BY seq",
       NULL, NULL},
      {"time stamps by another clock", "SELECT 'over the first ' || size || ' events', size - 1 FROM tsa ORDER BY size",
       NULL, "no time stamp (RFC 3161): the times rest on this machine's clock alone"},
      {NULL, NULL, NULL,
       "the reference time source (each run records its machine's own monotone clock beside the time of day)"}}},
};

const struct sg_pack sg_pack_dora = {
    "dora",
    "Digital operational resilience: Regulation (EU) 2022/2554 (DORA) and Delegated Regulation (EU) 2024/1774",
    0,
    provisions,
    sizeof provisions / sizeof *provisions,
    NULL};
