/*
 * tests/unit/proxy_ping_test.c - what clients read first, through the real listener.
 */
#include "tests/unit/proxy_lab_http.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/log.h"

#define ALICE "Authorization: Bearer alice\r\n"

static struct lab *lab_private(void)
{
    struct lab *lab = lab_new();
    lab->origin.allowed[0] = "Bearer alice";
    return lab;
}

static void expect(const struct lab_listener *listener, const char *target, const char *headers,
                   const char *status, const char *part)
{
    char *response = lab_request(listener, "GET", target, headers);
    char line[64];

    (void)snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
    if (strncmp(response, line, strlen(line)) != 0 || strcasestr(response, part) == NULL)
        fail_msg("%s instead of %s with %s", response, status, part);
    assert_non_null(strcasestr(response, "Docker-Distribution-Api-Version: registry/2.0"));
    free(response);
}

static void script(struct origin *origin, enum origin_quirk quirk, int status)
{
    pthread_mutex_lock(&origin->lock);
    origin->quirk = quirk;
    origin->status = status;
    pthread_mutex_unlock(&origin->lock);
}

static void ping__passes_upstreams_challenge_on_and_remembers_it(void **state)
{
    struct lab *lab = lab_private();
    struct lab_listener listener;
    char challenge[300];

    (void)state;
    (void)snprintf(challenge, sizeof(challenge), "WWW-Authenticate: " ORIGIN_CHALLENGE "\r\n",
                   lab->origin.port);
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    expect(&listener, "/v2/", "", "401", challenge);
    expect(&listener, "/v2", "", "401", "\"UNAUTHORIZED\"");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_pings), 1);
    expect(&listener, "/v2/", ALICE, "200", "\r\n\r\n{}");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_pings), 2);
    expect(&listener, "/v2/", "Authorization: Bearer eve\r\n", "401", challenge);
    /* upstream goes away, and the proxy is started anew */
    lab_unlisten(&listener, lab);
    script(&lab->origin, QUIRK_RESET, 0);
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    expect(&listener, "/v2/", "", "401", challenge);
    expect(&listener, "/v2/", ALICE, "200", "\r\n\r\n{}");
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void ping__never_seen_upstream_is_a_registry_all_the_same(void **state)
{
    struct lab *lab = lab_private();
    struct lab_listener listener;
    int n;

    (void)state;
    script(&lab->origin, QUIRK_NONE, 500);
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    expect(&listener, "/v2/", "", "200", "\r\n\r\n{}");
    n = origin_count(&lab->origin, &lab->origin.n_requests);
    expect(&listener, "/v2/", "", "200", "\r\n\r\n{}"); /* not asked again at once */
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), n);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void ping__of_a_public_registry_is_remembered_too(void **state)
{
    struct lab *lab = lab_private();
    struct lab_listener listener;
    char *response;

    (void)state;
    lab->origin.allowed[1] = "";
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    expect(&listener, "/v2/?ns=lab", "", "200", "\r\n\r\n{}");
    response = lab_request(&listener, "HEAD", "/v2/", "");
    assert_non_null(strstr(response, "HTTP/1.1 200 "));
    assert_true(dt_text_has_suffix(response, "\r\n\r\n"));
    free(response);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_pings), 1);
    lab_unlisten(&listener, lab);
    script(&lab->origin, QUIRK_RESET, 0);
    lab_open(lab, 2);
    lab_listen(&listener, lab);
    expect(&listener, "/v2/", "", "200", "\r\n\r\n{}");
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void ping__in_mode_b_asks_nobody(void **state)
{
    struct lab *lab = lab_private();
    struct lab_listener listener;

    (void)state;
    lab_open(lab, 1);
    lab->upstream.own_credentials = true;
    lab_listen(&listener, lab);
    expect(&listener, "/v2/", "", "200", "\r\n\r\n{}");
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), 0);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void ping__client_that_left_harms_nobody(void **state)
{
    struct lab *lab = lab_private();
    struct lab_listener listener;
    int fds[4];

    (void)state;
    script(&lab->origin, QUIRK_SILENT, 0);
    lab->options.transfer.head_deadline_ms = 60000; /* nobody is asked again within this test */
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    for (size_t i = 0; i < 4; i++)
        fds[i] = lab_send(&listener, "GET", "/v2/", i % 2 == 0 ? "" : ALICE);
    origin_wait_count(&lab->origin, &lab->origin.n_requests, 3); /* anonymous ones share one */
    close(fds[0]);
    close(fds[1]);
    free(lab_receive(fds[2]));
    free(lab_receive(fds[3]));
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_requests), 3);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping__passes_upstreams_challenge_on_and_remembers_it),
        cmocka_unit_test(ping__never_seen_upstream_is_a_registry_all_the_same),
        cmocka_unit_test(ping__of_a_public_registry_is_remembered_too),
        cmocka_unit_test(ping__in_mode_b_asks_nobody),
        cmocka_unit_test(ping__client_that_left_harms_nobody),
    };
    dt_log_start(2, DT_LOG_ERROR, DT_LOG_KV);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    dt_log_stop();
    return rc;
}
