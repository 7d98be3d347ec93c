/* The ledger, as the rest of the program writes it: one SQLite file of signed leaves. audit/ owns formats and evidence;
 * callers hand over facts and get events. docs/ledger.md is the format document. */
#ifndef SG_AUDIT_LEDGER_H
#define SG_AUDIT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "account/plan.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"

struct sg_signers; /* audit/sshsig.h */

/* ---- Keys. Ed25519 or ECDSA P-256; the secret key file is sealed under a passphrase (Argon2id, libsodium) or stored
 * as a key file 0600. */
struct sg_signer;
enum sg_algorithm { SG_ALGORITHM_ED25519, SG_ALGORITHM_P256 };
/* Writes NAME.key (0600) and NAME.pub (a C2SP vkey line) into `folder`. passphrase NULL: no passphrase. Refuses to
 * overwrite. */
SG_MUST_USE enum sg_status sg_key_generate(const char *folder, const char *name, enum sg_algorithm algorithm,
                                           const char *passphrase);
/* `key` is a key file, or a PKCS#11 URI: pkcs11:module=/PATH;token=NAME;object=LABEL;pin-file=FILE. `unlock_file` holds
 * the passphrase or PIN (first line); NULL when the key has none. Locked into memory, wiped on close. */
SG_MUST_USE enum sg_status sg_signer_open(const char *key, const char *unlock_file, struct sg_signer **out);
void sg_signer_close(struct sg_signer **signer);

/* ---- The file. */
struct sg_ledger;
SG_MUST_USE enum sg_status sg_ledger_init(const char *path, const char *origin, const struct sg_signer *signer);
/* For writing: one writer, rollback journal, synchronous=EXTRA. Waits a bounded time for another writer. Without a
 * signer (NULL) only cosignatures can be stored. */
SG_MUST_USE enum sg_status sg_ledger_open(const char *path, const struct sg_signer *signer, struct sg_ledger **out);
/* For reading, without a key: the file is treated as hostile and never changed. Calls that append fail. */
SG_MUST_USE enum sg_status sg_ledger_open_read(const char *path, struct sg_ledger **out);
void sg_ledger_close(struct sg_ledger **ledger); /* before its signer is closed */
/* Size and root of the tree after the last append. */
void sg_ledger_head(const struct sg_ledger *ledger, int64_t *size, uint8_t root[SG_DIGEST_BYTES]);

/* ---- Datasets and populations. */
struct sg_dataset_facts {
    const char *name,
        *population;         /* population: the id namespace that carries limit and spend; NULL: the dataset's name */
    const char *unit;        /* unit of privacy, in words */
    int64_t population_size; /* declared public upper bound on the units of the training split */
    bool is_public;          /* no privacy is claimed or needed; no limits */
    double epsilon_limit, delta_limit;
    const uint8_t *commitment, *schema_digest; /* 32 bytes each */
    const char *row_bucket;                    /* coarse, e.g. "10k-100k" */
    const char *retention_class;               /* the bank's own name of the rule; NULL: not recorded */
    int64_t retain_until_ms;                   /* due for erasure then; 0: not recorded */
};
/* Appends dataset.register. A private dataset's population needs both limits when it is first registered; later
 * datasets of the population repeat them or leave them 0. SG_USAGE when they differ or the name is taken. The dataset
 * key (32 bytes, made here before reading) goes to side storage beside the ledger. */
SG_MUST_USE enum sg_status sg_ledger_register_dataset(struct sg_ledger *ledger, const struct sg_dataset_facts *facts,
                                                      const uint8_t dataset_key[SG_KEY_BYTES]);

struct sg_dataset_entry {
    char name[128], population[128], unit[128];
    int64_t population_size;
    bool is_public;
    double epsilon_limit, delta_limit;
    uint8_t commitment[SG_DIGEST_BYTES], schema_digest[SG_DIGEST_BYTES], dataset_key[SG_KEY_BYTES];
};
/* SG_USAGE when no dataset of that name is registered. In a ledger opened for reading dataset_key stays zero: side
 * storage is the writer's. */
SG_MUST_USE enum sg_status sg_ledger_find_dataset(struct sg_ledger *ledger, const char *name,
                                                  struct sg_dataset_entry *out);

/* ---- Programmes: a plan and a number of runs of it, fixed in advance. */
struct sg_programme {
    char programme_id[40];
    int64_t runs;
    double epsilon, delta; /* of all its runs together: certified, and all that they are ever charged */
};
/* Reserves the cost of `runs` runs of this plan and appends programme.register in one transaction. Runs are drawn from
 * it by sg_run_facts.programme, on any dataset of the dataset's population, and are charged nothing more; runs that are
 * never drawn are not given back. SG_REFUSED when the population's limit does not admit it, with how many runs would
 * fit; nothing is written then. SG_USAGE for a plan without privacy. */
SG_MUST_USE enum sg_status sg_ledger_register_programme(struct sg_ledger *ledger, const char *dataset,
                                                        const struct sg_plan *plan, int64_t runs,
                                                        struct sg_programme *out);

/* ---- Runs. */
struct sg_run_facts {
    const char *dataset;   /* registered name */
    const char *programme; /* the id of the programme that the run is drawn from; NULL: a programme of one */
    const struct sg_plan *plan;
    json_t *configuration;                                 /* as written by the user, without paths */
    json_t *parameters;                                    /* resolved hyperparameters */
    const uint8_t *secret_commitment;                      /* 32 bytes: SHA-256 over a salt and the run secret */
    bool secret_supplied;                                  /* by --secret: voids the claim for whoever holds the file */
    const char *code_digest, *binary_digest, *environment; /* hexadecimal; numeric environment */
    json_t *libraries;                                     /* {name: version} */
    const char *base_model_digest;                         /* NULL: trained from scratch */
    bool base_is_public;                                   /* asserted by whoever signs */
    bool show_internal;
};
struct sg_run {
    char run_id[40];
    int64_t run_no;
    int64_t leaf;                  /* of run.start */
    int64_t drawn, programme_runs; /* the drawn-th of that many runs of its programme; 0 without one */
};
/* Reserves the plan's spend and appends run.start in one transaction, durable on return. SG_REFUSED when the
 * population's limit does not admit the plan (the text says spent, limit and what would fit); nothing is written then.
 * A plan without privacy is refused on a population with a limit (SG_REFUSED). SG_USAGE when the dataset is not
 * registered or the plan's population_size lies below the registered one. With a programme nothing is reserved:
 * SG_REFUSED when all its runs are drawn, SG_USAGE when it is not registered for these people or fixed another plan
 * (the text names the first field that differs). A run keeps its place in the programme however it ends. */
SG_MUST_USE enum sg_status sg_ledger_run_start(struct sg_ledger *ledger, const struct sg_run_facts *facts,
                                               struct sg_run *out);

enum sg_run_end { SG_RUN_COMPLETE, SG_RUN_FAIL, SG_RUN_ABORT };
struct sg_run_result {
    enum sg_run_end end;
    const char *reason; /* coarse code for fail and abort: "data_mismatch", "overflow", "interrupted", "internal" */
    int64_t steps_done;
    json_t *metrics;   /* [{name, value, split, released}]; NULL: none */
    json_t *artifacts; /* [{name, sha256, bytes}]; NULL: none */
    json_t *curves;    /* [{name, split, released, bins or points}], see docs/ledger.md; NULL: none */
};
/* A sign of life of a run that is under way, at public intervals: after every `interval_s` seconds, or after every
 * `interval_steps` steps; the other one is 0. `step` counts released steps; nothing is said about data. When another
 * program holds the file for longer than a few seconds nothing is written, *written is false and the run may go on: the
 * gap shows in the record. SG_USAGE when the run has ended or the step runs back. */
struct sg_heartbeat {
    int64_t step, interval_s, interval_steps;
};
SG_MUST_USE enum sg_status sg_ledger_heartbeat(struct sg_ledger *ledger, const struct sg_run *run,
                                               const struct sg_heartbeat *heartbeat, bool *written);

/* At most one end per run: a second one is SG_USAGE. */
SG_MUST_USE enum sg_status sg_ledger_run_end(struct sg_ledger *ledger, const struct sg_run *run,
                                             const struct sg_run_result *result);

/* Whether a complete private run on this population produced a model file of this digest (64 hexadecimal digits): its
 * spend is then already on the population's account. */
SG_MUST_USE enum sg_status sg_ledger_has_model(struct sg_ledger *ledger, const char *model_digest,
                                               const char *population, bool *found);

/* ---- Decisions about models, and erasure. */
struct sg_decision {
    const char *kind;  /* "model.approve", "model.deploy", "model.retire" */
    const char *model; /* SHA-256 of the model file, or a run by id or number: its first file */
    const char *role, *reason;
    int64_t expires_ms; /* 0: does not expire */
    /* What a person signed (sg_ledger_draft, then ssh-keygen -Y sign -n sealgrad) and the signature; NULL: the account
     * that writes is all that is recorded. The document brings model, role, reason and expiry. */
    const char *document, *signature;
    size_t document_len, signature_len;
    const struct sg_signers *signers; /* who owns which key: the name is recorded, an unknown key refused; or NULL */
    int64_t needs;                    /* "model.deploy": so many people's signed approvals in force; recorded; 0: none */
    bool four_eyes;                   /* refused when whoever decides began the model's run */
};
/* Appends the document for a person to sign: origin, decision, model, role, reason, expiry and a new nonce, by which it
 * counts once. Works on a ledger opened for reading. */
SG_MUST_USE enum sg_status sg_ledger_draft(struct sg_ledger *ledger, const struct sg_decision *decision,
                                           struct sg_buffer *out);
/* SG_USAGE when the document is about something else, its signature does not verify, the same key approves the model
 * already, or too few people approved. */
SG_MUST_USE enum sg_status sg_ledger_decide(struct sg_ledger *ledger, const struct sg_decision *decision);
/* Appends dataset.erase, then destroys the dataset's key in side storage: its commitment can no longer be tried against
 * guesses, and every proof still verifies. May be repeated. */
SG_MUST_USE enum sg_status sg_ledger_erase_dataset(struct sg_ledger *ledger, const char *dataset, const char *basis);
/* Appends run.erase and destroys the file at `path`, which must be one that the run made (by its SHA-256). SG_USAGE
 * otherwise, and when the run's file was destroyed before. */
SG_MUST_USE enum sg_status sg_ledger_erase_run(struct sg_ledger *ledger, const char *run, const char *path,
                                               const char *basis);

/* ---- Budget of a population, as `sealgrad budget` prints it. */
struct sg_budget {
    double epsilon_limit, delta_limit;
    double epsilon_spent,
        delta_spent; /* of every run and programme ever begun, composed by the population's rule, rounded up */
    int64_t n_runs, n_open;
    bool is_limited;
};
SG_MUST_USE enum sg_status sg_ledger_budget(struct sg_ledger *ledger, const char *population, struct sg_budget *out);
/* How many more runs of this epsilon the population's limit has room for, chosen one after another, if each were a
 * single Gaussian release to everybody at the limit's delta; 0 where there is no limit. */
SG_MUST_USE enum sg_status sg_ledger_runs_of(struct sg_ledger *ledger, const char *population, double epsilon,
                                             int64_t *runs);

#endif
