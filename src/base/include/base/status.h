/* Operating errors: one status per exit code of the program, and one line of text.
 *
 * A function that can fail returns enum sg_status, which may not be ignored. The text is set once, with sg_fail,
 * where the fault is born; callers only pass the status on; main prints it. Library code never prints.
 * The text says what, where, what was expected and what to do. It never holds a value taken from a data record. */
#ifndef SG_BASE_STATUS_H
#define SG_BASE_STATUS_H

enum sg_status {
    SG_OK = 0,
    SG_FAILED = 1,     /* an operation failed: disk full, a missing library, a failed check of ours */
    SG_USAGE = 2,      /* usage or bad input: flags, configuration, schema, data, model folder, keys */
    SG_BROKEN = 3,     /* evidence is broken: a ledger, proof or model does not verify */
    SG_INCOMPLETE = 4, /* evidence is incomplete: unfinished run, no trust anchor, no witness */
    SG_REFUSED = 5,    /* the privacy budget does not admit this */
    SG_STOPPED = 6,    /* stopped after a checkpoint; run again with --resume */
};

#define SG_MUST_USE __attribute__((warn_unused_result))
#define SG_PRINTF(text_at, first_at) __attribute__((format(printf, text_at, first_at)))

/* Sets this thread's error text (at most 1023 bytes, control characters replaced) and returns `status`. */
SG_MUST_USE enum sg_status sg_fail(enum sg_status status, const char *format, ...) SG_PRINTF(2, 3);

/* This thread's last error text; "" when there is none. Valid until the next sg_fail on this thread. */
const char *sg_error_text(void);

/* Forgets this thread's error text. */
void sg_error_clear(void);

/* Returns from the calling function when `expr` is not SG_OK. Only where nothing must be freed. */
#define SG_TRY(expr)                              \
    do {                                          \
        enum sg_status sg_try_status = (expr);    \
        if (sg_try_status != SG_OK)               \
            return sg_try_status;                 \
    } while (0)

#endif
