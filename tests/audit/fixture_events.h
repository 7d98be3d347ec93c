/* A ledger with the events that leave no row (heartbeats, gaps, clock anomalies, signatures of people, erasure of a
 * run's file), and what a key holder might forge among them. */
#ifndef SG_TESTS_AUDIT_FIXTURE_EVENTS_H
#define SG_TESTS_AUDIT_FIXTURE_EVENTS_H

#include "fixture.h"
#include "store.h"

/* What ssh-keygen -Y sign -n sealgrad would write with the key of that seed. */
void fixture_ssh_sign(uint8_t seed_byte, const char *text, size_t n, struct sg_buffer *armoured);
/* Its line of an allowed_signers file. */
void fixture_ssh_signer(uint8_t seed_byte, const char *name, struct sg_buffer *out);
/* Draft, signature, record. */
enum sg_status fixture_sign_decision(struct sg_ledger *ledger, const char *kind, uint8_t seed_byte, int64_t needs);

/* Returns its path. Every run has ended; two people approved the model of run 1, and it was deployed. */
char *fixture_events(const char *folder, const struct sg_signer *signer);

/* Appends forgery number `which` to a ledger of fixture_events, with the ledger's key and a correct tree. Returns a
 * part of what verify says of it; NULL: there is no such number. */
const char *fixture_forge(const char *path, const struct sg_signer *signer, size_t which);

#endif
