/* A small ledger for the tests of this room: keys from fixed seeds, plans resolved by the plan itself, a folder of its
 * own. */
#ifndef SG_TESTS_AUDIT_FIXTURE_H
#define SG_TESTS_AUDIT_FIXTURE_H

#include "audit/key.h"
#include "audit/ledger.h"
#include "audit/trust.h"
#include "audit/verify.h"

/* A new folder under TMPDIR or /tmp, and its removal with the files in it. */
char *fixture_folder(void);
void fixture_remove(char *folder);
struct sg_signer *fixture_signer(uint8_t seed_byte);
struct sg_signer *fixture_signer_p256(uint8_t scalar_byte);
/* Trust in this key and no other. */
void fixture_trust(const struct sg_signer *signer, struct sg_trust *out);
/* A private plan of the given epsilon and delta over 10,000 people; epsilon 0: without privacy. */
struct sg_plan_request fixture_request(double epsilon, double delta);
struct sg_plan fixture_plan(double epsilon, double delta);
/* Makes FOLDER/ledger.db; the caller frees the path. */
char *fixture_init(const char *folder, const struct sg_signer *signer);
enum sg_status fixture_register(struct sg_ledger *ledger, const char *name, const char *population,
                                double epsilon_limit, double delta_limit);
enum sg_status fixture_start(struct sg_ledger *ledger, const char *dataset, const struct sg_plan *plan,
                             struct sg_run *out);
/* The same, drawn from a programme; programme NULL: a run alone. */
enum sg_status fixture_draw(struct sg_ledger *ledger, const char *dataset, const struct sg_plan *plan,
                            const char *programme, struct sg_run *out);
enum sg_status fixture_end(struct sg_ledger *ledger, const struct sg_run *run, enum sg_run_end end);
/* A ledger with 20 events of every kind, all runs ended. Returns its path. */
char *fixture_twenty(const char *folder, const struct sg_signer *signer);
/* The same, and then a programme of three runs of which one was drawn and completed: 23 events. */
char *fixture_programme(const char *folder, const struct sg_signer *signer);
/* The same with an event by a second key, which is then revoked as compromised since before: 23 events. */
char *fixture_compromised(const char *folder, const struct sg_signer *signer);
/* The fixed witness. */
struct sg_signer *fixture_witness_signer(void);
/* The text of a policy that asks for that witness. */
void fixture_policy(const struct sg_vkey *log, const struct sg_vkey *witness, struct sg_buffer *out);
/* Has it witnessed by that witness, whose memory is FOLDER, and fills that policy. */
void fixture_witness(const char *folder, const char *path, const struct sg_signer *signer, struct sg_trust *policy);

/* ---- What most programs begin with: a new ledger, open to the key that made it. cmocka's set-up and tear-down. */
struct fixture {
    char *folder, *path;
    struct sg_signer *signer;
    struct sg_trust trust;
    struct sg_ledger *ledger;
};
int fixture_setup(void **state);
int fixture_teardown(void **state);
int64_t fixture_n_events(struct sg_ledger *ledger);
/* By trust in the signer, without witnesses. */
void fixture_verify(const struct fixture *stage, struct sg_verdict *out);
/* `n` processes at once, of which each draws one run over "book" and completes it; programme NULL: a run alone. Every
 * other end than complete or refused is in neither number. The ledger must not be open: no connection may cross a
 * fork. */
void fixture_race(const struct fixture *stage, const struct sg_plan *plan, const char *programme, int n, int *started,
                  int *refused);

/* ---- Attacks. */
void fixture_sql(const char *path, const char *sql);
/* What a key holder with a patched writer could append: any facts (which it frees), a correct tree and checkpoint. The
 * answer is that of the append, which may fail at the derived rows, once leaf and checkpoint stand. */
enum sg_status fixture_append(struct sg_ledger *ledger, const char *type, json_t *facts);
/* The file as it was, and no anchor that has seen what stood in it since. */
void fixture_restore(const char *path, const struct sg_buffer *original);
/* Whether a problem of that place holds the text. Else all problems are printed. */
bool fixture_found(const struct sg_verdict *verdict, const char *place, const char *text);
void fixture_tell(const struct sg_verdict *verdict);

#endif
