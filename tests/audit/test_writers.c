/* Would catch: a budget that two processes overspend together, appends of several writers that fork the chain or get
 * lost, a writer killed at any moment that leaves a ledger which does not verify, or whose unfinished run is not named.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "account/filter.h"
#include "budget.h"
#include "fixture.h"

#define assert_ok(expr) assert_int_equal(expr, SG_OK)

static struct sg_verdict verdict;

static int setup(void **state)
{
    int status = fixture_setup(state);
    sg_ledger_close(&((struct fixture *)*state)->ledger); /* no connection may cross a fork */
    return status;
}

static void verify(struct fixture *stage)
{
    fixture_verify(stage, &verdict);
    if (verdict.n_broken)
        fixture_tell(&verdict);
}

/* A limit that admits exactly n runs of this plan. */
static double limit_for(int n, const struct sg_plan *plan, double delta)
{
    for (double limit = plan->epsilon; limit < 100; limit += 0.02) {
        struct sg_filter filter = {
            .is_limited = true, .epsilon_limit = limit, .delta_limit = delta, .order = sg_renyi_order(limit, delta)};
        struct sg_charge charge;
        int fits = 0;
        assert_ok(sg_filter_charge(&filter, plan, &charge));
        for (; fits <= n && sg_filter_admits(&filter, &charge); fits++)
            sg_filter_add(&filter, &charge);
        if (fits == n)
            return limit;
    }
    fail();
    return 0;
}

static void test_sixteen_want_room_for_five(void **state)
{
    struct fixture *stage = *state;
    enum { N = 16, FITS = 5 };
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_ledger *ledger = NULL;
    double limit = limit_for(FITS, &plan, 1e-5);
    int started, refused;
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, limit, 1e-5));
    sg_ledger_close(&ledger);
    fixture_race(stage, &plan, NULL, N, &started, &refused);
    assert_int_equal(started, FITS);
    assert_int_equal(refused, N - FITS);
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);
    assert_int_equal(verdict.n_runs, FITS);
}

/* `n` datasets: the cheapest event that is not a run. */
static pid_t append_many(const struct fixture *stage, int who, int n)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    struct sg_ledger *ledger = NULL;
    enum sg_status status = sg_ledger_open(stage->path, stage->signer, &ledger);
    for (int i = 0; status == SG_OK && i < n; i++) {
        char *name = sg_format("book-%d-%d", who, i);
        status = fixture_register(ledger, name, "customers", 6, 1e-5);
        free(name);
    }
    sg_ledger_close(&ledger);
    _exit((int)status);
}

static void test_eight_writers(void **state)
{
    struct fixture *stage = *state;
    const char *wanted = getenv("SEALGRAD_TEST_EVENTS"); /* 1000 for the long run */
    int n = wanted ? atoi(wanted) : 60;
    pid_t child[8];
    for (int i = 0; i < 8; i++)
        child[i] = append_many(stage, i, n);
    for (int i = 0; i < 8; i++) {
        int code = 0;
        assert_int_equal(waitpid(child[i], &code, 0), child[i]);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    }
    verify(stage);
    assert_int_equal(verdict.status, SG_OK);
    assert_int_equal(verdict.size, 1 + 8 * n);
}

static _Noreturn void run_until_killed(const struct fixture *stage, const struct sg_plan *plan)
{
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    enum sg_status status = sg_ledger_open(stage->path, stage->signer, &ledger);
    while (status == SG_OK) {
        status = fixture_start(ledger, "book", plan, &run);
        if (status == SG_OK)
            status = fixture_end(ledger, &run, SG_RUN_COMPLETE);
    }
    _exit((int)status);
}

static void test_killed_at_any_moment(void **state)
{
    struct fixture *stage = *state;
    struct sg_plan plan = fixture_plan(0, 0);
    struct sg_ledger *ledger = NULL;
    int n_open = 0, n_journal = 0;
    unsigned seed = 7;
    print_message("seed %u\n", seed);
    assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
    assert_ok(fixture_register(ledger, "book", NULL, -1, 0));
    sg_ledger_close(&ledger);
    char *journal = sg_format("%s-journal", stage->path);
    for (int i = 0; i < 200; i++) {
        if (i % 25 == 0) { /* short ledgers: verify reads them 200 times */
            char *side = sg_format("%s.side.db", stage->path);
            unlink(stage->path), unlink(side), free(side);
            assert_ok(sg_ledger_init(stage->path, "bank.example/credit", stage->signer));
            assert_ok(sg_ledger_open(stage->path, stage->signer, &ledger));
            assert_ok(fixture_register(ledger, "book", NULL, -1, 0));
            sg_ledger_close(&ledger);
        }
        pid_t child = fork();
        if (child == 0)
            run_until_killed(stage, &plan);
        struct timespec moment = {.tv_nsec = 1000000 + rand_r(&seed) % 12000000};
        nanosleep(&moment, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        int code = 0;
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFSIGNALED(code)); /* it did not end by itself */
        n_journal += access(journal, F_OK) == 0;
        verify(stage); /* with the journal still waiting, as an auditor would find it */
        assert_true(verdict.status == SG_OK || verdict.status == SG_INCOMPLETE);
        n_open += verdict.status == SG_INCOMPLETE;
        if (verdict.status == SG_INCOMPLETE)
            assert_int_equal(strncmp(verdict.problems[verdict.n_listed - 1].place, "run-", 4), 0);
    }
    print_message("200 kills: %d left an unfinished run, %d a journal\n", n_open, n_journal);
    assert_true(n_open > 20 && n_journal > 0); /* else the moments were all alike */
    free(journal);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_sixteen_want_room_for_five), TEST(test_eight_writers),
                                       TEST(test_killed_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
