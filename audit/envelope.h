/* Reading a leaf's envelope fast, in the one form that we write. */
#ifndef SG_AUDIT_ENVELOPE_H
#define SG_AUDIT_ENVELOPE_H

#include "audit/leaf.h"

/* Fills `out`, whose payload buffer is used again; false for any other form, and `out` is then unspecified. */
bool sg_envelope_read(const char *bytes, size_t n, struct sg_envelope *out);
/* The payload alone. */
bool sg_envelope_payload(const char *bytes, size_t n, struct sg_buffer *out);

#endif
