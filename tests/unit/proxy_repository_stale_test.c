/*
 * tests/unit/proxy_repository_stale_test.c - who gets a cached copy when upstream is away.
 */
#include "tests/unit/proxy_lab_ask.h"

#include "base/log.h"
#include "transfer/source.h"

static void stale__copies_are_for_those_who_could_read_before(void **state)
{
    static const struct {
        enum origin_quirk quirk;
        int status;
    } rows[] = {{QUIRK_NONE, 500},
                {QUIRK_NONE, 503},
                {QUIRK_NONE, 429},
                {QUIRK_RESET, 0},
                {QUIRK_SILENT, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = lab_private();
        struct asked *asked;
        int n;
        lab->options.tag_fresh_ms = lab->options.grant_ttl_ms = 0;
        lab->options.tag_budget_ms = 200;
        lab->options.transfer.head_deadline_ms = 8000;
        lab->origin.extra = "Retry-After: 7\r\n";
        lab_open(lab, 2);
        lab_run(lab);
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
        /* strangers are looked into in the background: not to be counted below */
        origin_wait_count(&lab->origin, &lab->origin.n_tokens, 1);
        script(&lab->origin, rows[i].quirk, rows[i].status);
        asked = lab_manifest(lab, "v1", ALICE);
        assert_int_equal(asked->manifest.source, SOURCE_DISK);
        expect_manifest(asked, MANIFEST1, PROXY_STALE);
        n = origin_count(&lab->origin, &lab->origin.n_requests);
        /* not asked again for a while, whatever Alice wants of it */
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_STALE);
        expect_manifest(lab_manifest(lab, digest_of(MANIFEST1), ALICE), MANIFEST1, PROXY_STALE);
        expect_permit(lab_blob(lab, "team/app", LAYER, ALICE), 222);
        /* the first question may still wait, and is asked three times in all */
        if (rows[i].quirk == QUIRK_SILENT)
            assert_in_range(origin_count(&lab->origin, &lab->origin.n_requests), n, n + 2);
        else
            assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), n);
        asked = lab_manifest(lab, "v1", EVE);
        if (rows[i].status == 429)
            assert_int_equal(asked->refusal->retry_after_s, 7);
        expect_refused(asked, 503, rows[i].status == 429 ? "TOOMANYREQUESTS" : "UNAVAILABLE");
        end(lab);
    }
}

static void stale__a_strangers_failure_turns_no_reader_away(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->options.tag_fresh_ms = 0;
    lab_open(lab, 1);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    script(&lab->origin, QUIRK_NONE, 429);
    expect_refused(lab_manifest(lab, "v1", EVE), 503, "TOOMANYREQUESTS");
    script(&lab->origin, QUIRK_NONE, 0);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_HIT);
    end(lab);
}

static void stale__copies_do_not_keep_a_new_blob_waiting_for_ever(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->options.transfer.head_deadline_ms = 300;
    lab_open(lab, 1);
    lab_run(lab);
    script(&lab->origin, QUIRK_SILENT, 0);
    expect_refused(lab_blob(lab, "team/app", LAYER, ALICE), 503, "UNAVAILABLE");
    expect_refused(lab_manifest(lab, "v1", ALICE), 503, "UNAVAILABLE");
    end(lab);
}

static void stale__tag_is_asked_for_in_the_background_and_comes_back(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;
    enum proxy_freshness freshness = PROXY_STALE;

    (void)state;
    lab->options.tag_fresh_ms = 0;
    lab_open(lab, 1);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    script(&lab->origin, QUIRK_NONE, 500);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_STALE);
    script(&lab->origin, QUIRK_NONE, 0);
    for (time_t until = time(NULL) + LAB_DEADLINE_S; freshness == PROXY_STALE;) {
        assert_true(time(NULL) < until);
        asked = lab_manifest(lab, "v1", ALICE);
        freshness = asked->manifest.freshness;
        expect_manifest(asked, MANIFEST1, freshness);
    }
    assert_int_equal(freshness, PROXY_HIT);
    end(lab);
}

static void stale__copies_are_for_everybody_where_the_repository_is_public(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->options.tag_fresh_ms = lab->options.grant_ttl_ms = 0;
    lab->origin.allowed[1] = "Bearer anonymous";
    lab->origin.token = "anonymous";
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    /* the background check: HEAD without a header, a token, HEAD with it */
    origin_wait_count(&lab->origin, &lab->origin.n_tokens, 1);
    origin_wait_count(&lab->origin, &lab->origin.n_heads, 3);
    /* its answer has to travel home: asked until it did */
    script(&lab->origin, QUIRK_NONE, 500);
    for (bool is_served = false; !is_served;) {
        struct asked *asked = lab_manifest(lab, "v1", EVE);
        is_served = asked->refusal->err.code == 0;
        if (is_served)
            expect_manifest(asked, MANIFEST1, PROXY_STALE);
        else
            expect_refused(asked, 503, "UNAVAILABLE");
    }
    expect_permit(lab_blob(lab, "team/app", LAYER, NULL), 222);
    /* also after a restart */
    lab_close(lab);
    lab_open(lab, 1);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", NULL), MANIFEST1, PROXY_STALE);
    end(lab);
}

static void stale__copies_stop_when_a_repository_is_no_longer_public(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->options.tag_fresh_ms = lab->options.grant_ttl_ms = 0;
    lab->origin.allowed[1] = ""; /* needs no header at all */
    lab_open(lab, 1);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", NULL), MANIFEST1, PROXY_MISS);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.allowed[1] = NULL;
    pthread_mutex_unlock(&lab->origin.lock);
    /* Eve is refused, and the check that follows finds the door closed */
    expect_refused(lab_manifest(lab, "v1", EVE), 401, "UNAUTHORIZED");
    origin_wait_count(&lab->origin, &lab->origin.n_tokens, 1);
    script(&lab->origin, QUIRK_RESET, 0);
    for (bool is_served = true; is_served;) {
        struct asked *asked = lab_manifest(lab, "v1", EVE);
        is_served = asked->refusal->err.code == 0;
        lab_done(asked);
    }
    expect_refused(lab_manifest(lab, "v1", NULL), 503, "UNAVAILABLE");
    end(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale__copies_are_for_those_who_could_read_before),
        cmocka_unit_test(stale__a_strangers_failure_turns_no_reader_away),
        cmocka_unit_test(stale__copies_do_not_keep_a_new_blob_waiting_for_ever),
        cmocka_unit_test(stale__tag_is_asked_for_in_the_background_and_comes_back),
        cmocka_unit_test(stale__copies_are_for_everybody_where_the_repository_is_public),
        cmocka_unit_test(stale__copies_stop_when_a_repository_is_no_longer_public),
    };
    dt_log_start(2, DT_LOG_ERROR, DT_LOG_KV);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    dt_log_stop();
    return rc;
}
