/*
 * tests/unit/proxy_repository_test.c - rights, tags and bounds, against a scripted registry.
 */
#include "tests/unit/proxy_lab_ask.h"

#include <fcntl.h>

#include "base/log.h"
#include "transfer/source.h"

/* ---- tags ---- */

static void tag__is_asked_for_once_and_then_served_from_the_cache(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    asked = lab_manifest(lab, "v1", ALICE);
    assert_int_equal(asked->manifest.source, SOURCE_ORIGIN);
    expect_manifest(asked, MANIFEST1, PROXY_MISS);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    asked = lab_manifest(lab, "v1", ALICE);
    assert_int_equal(asked->manifest.source, SOURCE_DISK);
    expect_manifest(asked, MANIFEST1, PROXY_HIT);
    /* what a runtime asks next: the digest, config and layer; all known by now */
    expect_manifest(lab_manifest(lab, digest_of(MANIFEST1), ALICE), MANIFEST1, PROXY_HIT);
    expect_permit(lab_blob(lab, "team/app", CONFIG, ALICE), 11);
    expect_permit(lab_blob(lab, "team/app", LAYER, ALICE), 222);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_blob_heads), 0);
    end(lab);
}

static void tag__that_moved_costs_one_get_and_one_that_did_not_costs_none(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->options.tag_fresh_ms = 0;
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_HIT);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.manifest = MANIFEST2;
    pthread_mutex_unlock(&lab->origin.lock);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST2, PROXY_MISS);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST2, PROXY_HIT);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 2);
    end(lab);
}

static void tag__quirks_of_head_are_worked_around(void **state)
{
    static const struct {
        enum origin_quirk quirk;
        int n_gets;
    } rows[] = {
        {QUIRK_HEAD_405, 1},          {QUIRK_HEAD_404, 1},      {QUIRK_HEAD_NO_DIGEST, 1},
        {QUIRK_HEAD_NO_LENGTH, 1},    {QUIRK_HEAD_LENGTH_0, 1}, {QUIRK_HEAD_PLAIN_TYPE, 1},
        {QUIRK_HEAD_WRONG_DIGEST, 2}, {QUIRK_GET_NO_TYPE, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = lab_private();
        lab->origin.quirk = rows[i].quirk;
        lab_open(lab, 1);
        lab_run(lab);
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
        assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), rows[i].n_gets);
        expect_manifest(lab_manifest(lab, digest_of(MANIFEST1), ALICE), MANIFEST1, PROXY_HIT);
        end(lab);
    }
}

static void tag__of_a_lying_registry_comes_from_its_standby_or_not_at_all(void **state)
{
    static const enum origin_quirk quirks[] = {QUIRK_GET_WRONG_BYTES, QUIRK_GET_WRONG_DIGEST,
                                               QUIRK_GET_HTML};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct lab *lab = lab_private();
        struct asked *asked;
        lab->origin.quirk = quirks[i % 3];
        lab->has_standby = i >= 3;
        lab_open(lab, 1);
        lab_run(lab);
        asked = lab_manifest(lab, "v1", ALICE);
        if (lab->has_standby) {
            assert_int_equal(asked->manifest.source, SOURCE_MIRROR);
            expect_manifest(asked, MANIFEST1, PROXY_MISS);
        } else {
            assert_int_not_equal(asked->refusal->err.code, 0);
            assert_null(asked->manifest.object);
            assert_int_not_equal(asked->refusal->status, 404);
            lab_done(asked);
        }
        assert_true(atomic_load(&lab->upstream.endpoints[0].strikes) > 0);
        end(lab);
    }
}

static void tag__too_large_or_without_content_is_refused(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab_open(lab, 1);
    lab_run(lab);
    script(&lab->origin, QUIRK_HUGE, 0);
    expect_refused(lab_manifest(lab, "v1", ALICE), 413, "SIZE_INVALID");
    script(&lab->origin, QUIRK_GET_204, 0);
    expect_refused(lab_manifest(lab, "v1", ALICE), 502, "UNKNOWN");
    script(&lab->origin, QUIRK_NONE, 0);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    end(lab);
}

static void tag__whose_type_the_client_does_not_accept_is_relayed(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;

    (void)state;
    lab_open(lab, 1);
    lab_run(lab);
    for (unsigned i = 0; i < 2; i++) { /* before and after it is cached */
        asked = lab_begin(lab, false, "team/app", "v1", ALICE,
                          "application/vnd.docker.distribution.manifest.v1+prettyjws");
        lab_wait(asked);
        assert_int_equal(asked->refusal->err.code, 0);
        assert_true(asked->manifest.must_relay);
        assert_null(asked->manifest.object);
        lab_done(asked);
        assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), i);
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, i == 0 ? PROXY_MISS : PROXY_HIT);
    }
    end(lab);
}

static void tag__that_changed_is_asked_for_again(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.manifest = MANIFEST2;
    pthread_mutex_unlock(&lab->origin.lock);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_HIT);
    proxy_repository_tag_changed(&lab->proxy, &lab->upstream, "team/app", "v1");
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST2, PROXY_MISS);
    end(lab);
}

static void tag__that_is_unknown_is_asked_for_again_only_after_news(void **state)
{
    struct lab *lab = lab_private();
    int n;

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    script(&lab->origin, QUIRK_NONE, 404);
    expect_refused(lab_manifest(lab, "v1", ALICE), 404, "MANIFEST_UNKNOWN");
    n = origin_count(&lab->origin, &lab->origin.n_requests);
    expect_refused(lab_manifest(lab, "v1", ALICE), 404, "MANIFEST_UNKNOWN");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), n);
    expect_refused(lab_manifest(lab, "v1", BOB), 404, "MANIFEST_UNKNOWN");
    assert_true(origin_count(&lab->origin, &lab->origin.n_requests) > n); /* another caller */
    script(&lab->origin, QUIRK_NONE, 0);
    proxy_repository_tag_changed(&lab->proxy, &lab->upstream, "team/app", "v1");
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    end(lab);
}

/* ---- rights ---- */

static void rights__of_one_caller_are_not_anothers(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;
    char challenge[200];

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    (void)snprintf(challenge, sizeof(challenge), ORIGIN_CHALLENGE, lab->origin.port);
    asked = lab_manifest(lab, "v1", EVE);
    assert_string_equal(asked->refusal->www_authenticate, challenge);
    expect_refused(asked, 401, "UNAUTHORIZED");
    expect_refused(lab_manifest(lab, "v1", NULL), 401, "UNAUTHORIZED");
    expect_refused(lab_manifest(lab, digest_of(MANIFEST1), EVE), 401, "UNAUTHORIZED");
    expect_refused(lab_blob(lab, "team/app", LAYER, EVE), 401, "UNAUTHORIZED");
    expect_refused(lab_blob(lab, "team/app", LAYER, NULL), 401, "UNAUTHORIZED");
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_HIT);
    end(lab);
}

static void rights__to_one_repository_open_no_other(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    /* the layer is known, and not to belong there */
    expect_refused(lab_blob(lab, "team/other", LAYER, ALICE), 404, "BLOB_UNKNOWN");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_blob_heads), 1);
    script(&lab->origin, QUIRK_NONE, 403);
    asked = lab_begin(lab, false, "team/other", digest_of(MANIFEST1), ALICE, NULL);
    lab_wait(asked);
    expect_refused(asked, 403, "DENIED");
    end(lab);
}

static void rights__to_a_repository_do_not_reach_a_manifest_of_another(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;

    (void)state;
    lab_open(lab, 2);
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.manifest = MANIFEST2; /* all that the other repository has */
    pthread_mutex_unlock(&lab->origin.lock);
    asked = lab_begin(lab, false, "team/other", "v1", ALICE, NULL);
    lab_wait(asked);
    expect_manifest(asked, MANIFEST2, PROXY_MISS);
    asked = lab_begin(lab, false, "team/other", digest_of(MANIFEST1), ALICE, NULL);
    lab_wait(asked);
    expect_refused(asked, 404, "MANIFEST_UNKNOWN");
    end(lab);
}

static void rights__to_a_blob_nobody_listed_are_asked_upstream_once(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->origin.blob = STRANGE;
    lab_open(lab, 2);
    lab_run(lab);
    expect_permit(lab_blob(lab, "team/app", STRANGE, ALICE), 77);
    expect_permit(lab_blob(lab, "team/app", STRANGE, ALICE), 77);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_blob_heads), 1);
    expect_refused(lab_blob(lab, "team/app", LISTED, ALICE), 404, "BLOB_UNKNOWN");
    expect_refused(lab_blob(lab, "team/app", LISTED, ALICE), 404, "BLOB_UNKNOWN");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_blob_heads), 2);
    end(lab);
}

static void rights__a_definite_no_is_obeyed_although_there_is_a_copy(void **state)
{
    static const struct {
        int status;
        const char *code;
    } rows[] = {{401, "UNAUTHORIZED"}, {403, "DENIED"}, {404, "MANIFEST_UNKNOWN"}, {412, "DENIED"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = lab_private();
        lab->options.tag_fresh_ms = lab->options.grant_ttl_ms = 0;
        lab_open(lab, 1);
        lab_run(lab);
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
        script(&lab->origin, QUIRK_NONE, rows[i].status);
        expect_refused(lab_manifest(lab, "v1", ALICE), rows[i].status, rows[i].code);
        /* and the grace is gone with the grant */
        script(&lab->origin, QUIRK_RESET, 0);
        expect_refused(lab_manifest(lab, digest_of(MANIFEST1), ALICE), 503, "UNAVAILABLE");
        end(lab);
    }
}

static void rights__are_checked_before_a_flight_is_shared(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked[9];
    char name[32];
    const size_t n = sizeof(asked) / sizeof(asked[0]);

    (void)state;
    lab->origin.allowed[1] = BOB;
    lab->origin.holds_gets = true;
    lab_open(lab, 2);
    lab_run(lab);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "%s", i % 3 == 0 ? ALICE : i % 3 == 1 ? BOB : EVE);
        asked[i] =
            lab_begin(lab, false, "team/app", i < 6 ? "v1" : digest_of(MANIFEST1), name, NULL);
    }
    /* the three of Eve come back while the bytes are still on their way */
    for (size_t i = 2; i < n; i += 3) {
        lab_wait(asked[i]);
        expect_refused(asked[i], 401, "UNAUTHORIZED");
    }
    origin_wait_count(&lab->origin, &lab->origin.n_waiting_gets, 1);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.holds_gets = false;
    pthread_cond_broadcast(&lab->origin.changed);
    pthread_mutex_unlock(&lab->origin.lock);
    for (size_t i = 0; i < n; i++) {
        if (i % 3 == 2)
            continue;
        lab_wait(asked[i]);
        expect_manifest(asked[i], MANIFEST1, asked[i]->manifest.freshness);
    }
    assert_true(origin_count(&lab->origin, &lab->origin.n_gets) <= 2); /* Eve's own may be one */
    end(lab);
}

static void rights__a_refused_leader_does_not_take_the_others_down(void **state)
{
    struct lab *lab = lab_private();
    struct asked *alice, *bob;

    (void)state;
    lab->origin.allowed[1] = BOB;
    lab->origin.get_refused = BOB;
    lab->origin.holds_gets = true;
    lab_open(lab, 1);
    lab_run(lab);
    bob = lab_begin(lab, false, "team/app", "v1", BOB, NULL);
    origin_wait_count(&lab->origin, &lab->origin.n_gets, 1);
    alice = lab_begin(lab, false, "team/app", "v1", ALICE, NULL);
    origin_wait_count(&lab->origin, &lab->origin.n_heads, 2);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.holds_gets = false;
    pthread_cond_broadcast(&lab->origin.changed);
    pthread_mutex_unlock(&lab->origin.lock);
    lab_wait(bob);
    expect_refused(bob, 401, "UNAUTHORIZED");
    lab_wait(alice);
    expect_manifest(alice, MANIFEST1, PROXY_MISS);
    end(lab);
}

static void rights__policy_is_asked_for_again_where_it_may_change(void **state)
{
    struct lab *lab = lab_private();
    int n_gets;

    (void)state;
    lab_open(lab, 1);
    lab->upstream.revalidate_ms = 1;
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    n_gets = origin_count(&lab->origin, &lab->origin.n_gets);
    /* HEADs from here on: one millisecond is over sooner or later */
    for (int heads = origin_count(&lab->origin, &lab->origin.n_heads);
         origin_count(&lab->origin, &lab->origin.n_heads) < heads + 3;)
        expect_manifest(lab_manifest(lab, digest_of(MANIFEST1), ALICE), MANIFEST1, PROXY_HIT);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), n_gets);
    script(&lab->origin, QUIRK_NONE, 412);
    for (bool is_refused = false; !is_refused;) {
        struct asked *asked = lab_manifest(lab, digest_of(MANIFEST1), ALICE);
        is_refused = asked->refusal->err.code != 0;
        if (is_refused)
            expect_refused(asked, 412, "DENIED");
        else
            lab_done(asked);
    }
    end(lab);
}

static void rights__in_mode_b_are_our_accounts_and_its_trouble_is_ours(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;

    (void)state;
    lab->origin.allowed[0] = "Bearer ours";
    lab->origin.token = "ours";
    lab_open(lab, 2);
    lab->upstream.own_credentials = true;
    lab->upstream.endpoints[0].has_credentials = true;
    lab->upstream.endpoints[0].credentials =
        (struct reg_credentials){.username = dt_strdup("robot"),
                                 .password = dt_strdup("pw"),
                                 .identity_token = dt_strdup("")};
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", EVE), MANIFEST1, PROXY_MISS);
    expect_manifest(lab_manifest(lab, "v1", NULL), MANIFEST1, PROXY_HIT);
    expect_permit(lab_blob(lab, "team/app", LAYER, NULL), 222);
    assert_string_equal(lab->origin.last_authorization, "Bearer ours");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_tokens), 1);
    /* upstream throws our token away */
    script(&lab->origin, QUIRK_NONE, 401);
    asked = lab_manifest(lab, "v2", NULL);
    assert_null(asked->refusal->www_authenticate);
    expect_refused(asked, 502, "UNKNOWN");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_tokens), 2);
    script(&lab->origin, QUIRK_NONE, 403);
    expect_refused(lab_manifest(lab, "v3", NULL), 404, "MANIFEST_UNKNOWN");
    /* and now the token service turns us away as well */
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.token = NULL;
    pthread_mutex_unlock(&lab->origin.lock);
    script(&lab->origin, QUIRK_NONE, 401);
    expect_refused(lab_manifest(lab, "v4", NULL), 502, "UNKNOWN");
    end(lab);
}

/* ---- bounds ---- */

static void bounds__too_many_waiting_are_told_to_come_later(void **state)
{
    static struct asked *asked[PROXY_REPOSITORY_WAITING_MAX];
    struct lab *lab = lab_private();

    (void)state;
    lab->origin.holds_gets = true;
    lab_open(lab, 1);
    lab_run(lab);
    for (size_t i = 0; i < PROXY_REPOSITORY_WAITING_MAX; i++)
        asked[i] = lab_begin(lab, false, "team/app", "v1", ALICE, NULL);
    expect_refused(lab_manifest(lab, "v1", ALICE), 503, "TOOMANYREQUESTS");
    expect_refused(lab_blob(lab, "team/app", LAYER, ALICE), 503, "TOOMANYREQUESTS");
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.holds_gets = false;
    pthread_cond_broadcast(&lab->origin.changed);
    pthread_mutex_unlock(&lab->origin.lock);
    for (size_t i = 0; i < PROXY_REPOSITORY_WAITING_MAX; i++) {
        lab_wait(asked[i]);
        expect_manifest(asked[i], MANIFEST1, asked[i]->manifest.freshness);
    }
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    end(lab);
}

static void bounds__idle_repositories_make_room_for_new_ones(void **state)
{
    struct lab *lab = lab_private();
    char name[32];

    (void)state;
    lab_open(lab, 1);
    lab->upstream.own_credentials = true; /* answered from what is linked, without upstream */
    lab->origin.allowed[1] = "";
    lab_run(lab);
    expect_manifest(lab_manifest(lab, "v1", NULL), MANIFEST1, PROXY_MISS);
    lab_settle(lab);
    for (unsigned i = 0; i < PROXY_REPOSITORIES_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "team/app%u", i);
        proxy_repository_tag_changed(&lab->proxy, &lab->upstream, name, "v1");
    }
    /* forgotten by now; what must last is in the cache */
    expect_manifest(lab_manifest(lab, "v1", NULL), MANIFEST1, PROXY_HIT);
    expect_permit(lab_blob(lab, "team/app", LAYER, NULL), 222);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), 2);
    end(lab);
}

static void bounds__without_a_cache_every_answer_comes_from_upstream(void **state)
{
    struct lab *lab = lab_private();
    int fd;

    (void)state;
    /* a file stands where the folder should be */
    assert_int_equal(rmdir(lab->dir), 0);
    fd = open(lab->dir, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    lab->origin.blob = LAYER;
    lab_open(lab, 1);
    lab_run(lab);
    for (unsigned i = 0; i < 2; i++) {
        expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
        lab_settle(lab); /* what was held for the cache is gone by then */
        expect_permit(lab_blob(lab, "team/app", LAYER, ALICE), 77);
        lab_settle(lab);
    }
    end(lab);
}

/* ---- endpoints ---- */

static void endpoints__a_standbys_404_is_not_definite(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->has_standby = true;
    lab_open(lab, 1);
    lab_run(lab);
    script(&lab->origin, QUIRK_RESET, 0);
    script(&lab->standby, QUIRK_NONE, 404);
    expect_refused(lab_manifest(lab, "v1", ALICE), 503, "UNAVAILABLE");
    script(&lab->standby, QUIRK_NONE, 0);
    expect_manifest(lab_manifest(lab, "v1", ALICE), MANIFEST1, PROXY_MISS);
    script(&lab->standby, QUIRK_NONE, 401);
    expect_refused(lab_manifest(lab, "v2", ALICE), 401, "UNAUTHORIZED");
    end(lab);
}

static void endpoints__a_silent_origin_leaves_its_standby_time(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab->has_standby = true;
    lab->options.transfer.head_deadline_ms = 8000;
    lab_open(lab, 1);
    lab_run(lab);
    script(&lab->origin, QUIRK_SILENT, 0);
    expect_manifest(lab_manifest(lab, digest_of(MANIFEST1), ALICE), MANIFEST1, PROXY_MISS);
    end(lab);
}

static void endpoints__what_a_redirect_leads_to_decides_no_rights(void **state)
{
    struct lab *lab = lab_private();
    struct asked *asked;
    char location[100];

    (void)state;
    lab->standby.status = 403; /* the storage, which is no endpoint here */
    lab_open(lab, 1);
    lab_run(lab);
    (void)snprintf(location, sizeof(location), "http://127.0.0.1:%d/x/blobs/y", lab->standby.port);
    lab->origin.location = location;
    script(&lab->origin, QUIRK_REDIRECT, 0);
    asked = lab_blob(lab, "team/app", LAYER, ALICE);
    expect_refused(asked, 502, "UNKNOWN");
    assert_string_equal(lab->standby.last_authorization, "");
    end(lab);
}

static void endpoints__an_odd_status_is_no_definite_answer(void **state)
{
    struct lab *lab = lab_private();

    (void)state;
    lab_open(lab, 1);
    lab_run(lab);
    script(&lab->origin, QUIRK_NONE, 418);
    expect_refused(lab_manifest(lab, "v1", ALICE), 502, "UNKNOWN");
    assert_int_equal(atomic_load(&lab->upstream.endpoints[0].failed_total), 0);
    end(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag__is_asked_for_once_and_then_served_from_the_cache),
        cmocka_unit_test(tag__that_moved_costs_one_get_and_one_that_did_not_costs_none),
        cmocka_unit_test(tag__quirks_of_head_are_worked_around),
        cmocka_unit_test(tag__of_a_lying_registry_comes_from_its_standby_or_not_at_all),
        cmocka_unit_test(tag__too_large_or_without_content_is_refused),
        cmocka_unit_test(tag__whose_type_the_client_does_not_accept_is_relayed),
        cmocka_unit_test(tag__that_changed_is_asked_for_again),
        cmocka_unit_test(tag__that_is_unknown_is_asked_for_again_only_after_news),
        cmocka_unit_test(rights__of_one_caller_are_not_anothers),
        cmocka_unit_test(rights__to_one_repository_open_no_other),
        cmocka_unit_test(rights__to_a_repository_do_not_reach_a_manifest_of_another),
        cmocka_unit_test(rights__to_a_blob_nobody_listed_are_asked_upstream_once),
        cmocka_unit_test(rights__a_definite_no_is_obeyed_although_there_is_a_copy),
        cmocka_unit_test(rights__are_checked_before_a_flight_is_shared),
        cmocka_unit_test(rights__a_refused_leader_does_not_take_the_others_down),
        cmocka_unit_test(rights__policy_is_asked_for_again_where_it_may_change),
        cmocka_unit_test(rights__in_mode_b_are_our_accounts_and_its_trouble_is_ours),
        cmocka_unit_test(bounds__too_many_waiting_are_told_to_come_later),
        cmocka_unit_test(bounds__idle_repositories_make_room_for_new_ones),
        cmocka_unit_test(bounds__without_a_cache_every_answer_comes_from_upstream),
        cmocka_unit_test(endpoints__a_standbys_404_is_not_definite),
        cmocka_unit_test(endpoints__a_silent_origin_leaves_its_standby_time),
        cmocka_unit_test(endpoints__what_a_redirect_leads_to_decides_no_rights),
        cmocka_unit_test(endpoints__an_odd_status_is_no_definite_answer),
    };
    dt_log_start(2, DT_LOG_ERROR, DT_LOG_KV);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    dt_log_stop();
    return rc;
}
