/*
 * tests/unit/proxy_manifest_test.c - the bytes and headers of a manifest, through the real
 * listener.
 */
#include "tests/unit/proxy_lab_http.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/log.h"

#define MANIFEST "{ \"schemaVersion\":2,\n \"mediaType\":\"" ORIGIN_TYPE "\",\"layers\":[] }\n"

static struct lab *lab_public(void)
{
    struct lab *lab = lab_new();
    lab->origin.allowed[0] = "";
    lab->origin.manifest = MANIFEST;
    return lab;
}

/* Whole lines, so that "Content-Type: x" does not pass for "Content-Type: x; charset". */
static void expect_line(const char *response, const char *name, const char *value)
{
    char line[300];
    (void)snprintf(line, sizeof(line), "\r\n%s: %s\r\n", name, value);
    if (strcasestr(response, line) == NULL)
        fail_msg("no %s: %s in %s", name, value, response);
}

static void expect_headers(const char *response, const char *digest, const char *cache)
{
    char text[200];

    assert_int_equal(strncmp(response, "HTTP/1.1 200 ", 13), 0);
    expect_line(response, "Content-Type", ORIGIN_TYPE);
    expect_line(response, "Docker-Content-Digest", digest);
    (void)snprintf(text, sizeof(text), "\"%s\"", digest);
    expect_line(response, "ETag", text);
    (void)snprintf(text, sizeof(text), "%zu", strlen(MANIFEST));
    expect_line(response, "Content-Length", text);
    expect_line(response, "X-Cache", cache);
    expect_line(response, "Warning", "299 - \"look out\"");
}

static void manifest__is_answered_byte_for_byte(void **state)
{
    struct lab *lab = lab_public();
    struct lab_listener listener;
    char digest[DT_DIGEST_TEXT_MAX], text[200];
    char *response;

    (void)state;
    origin_digest(digest, MANIFEST);
    lab->origin.extra = "Warning: 299 - \"look out\"\r\n";
    lab->options.tag_fresh_ms = 0;
    lab_open(lab, 2);
    lab_listen(&listener, lab);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", "");
    expect_headers(response, digest, "MISS");
    expect_line(response, "X-Darter-Source", "origin");
    assert_string_equal(strstr(response, "\r\n\r\n") + 4, MANIFEST);
    free(response);
    response = lab_request(&listener, "HEAD", "/v2/a/b/manifests/v1", "");
    expect_headers(response, digest, "HIT");
    expect_line(response, "X-Darter-Source", "disk");
    assert_true(dt_text_has_suffix(response, "\r\n\r\n"));
    free(response);
    (void)snprintf(text, sizeof(text), "If-None-Match: \"%s\"\r\n", digest);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", text);
    assert_int_equal(strncmp(response, "HTTP/1.1 304 ", 13), 0);
    assert_true(dt_text_has_suffix(response, "\r\n\r\n"));
    free(response);
    (void)snprintf(text, sizeof(text), "If-None-Match: %s\r\n", digest);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", text);
    assert_int_equal(strncmp(response, "HTTP/1.1 304 ", 13), 0);
    free(response);
    (void)snprintf(text, sizeof(text), "If-None-Match: W/\"%s\"\r\n", digest);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", text);
    assert_string_equal(strstr(response, "\r\n\r\n") + 4, MANIFEST);
    free(response);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void manifest__that_was_refused_says_so_in_the_registrys_words(void **state)
{
    struct lab *lab = lab_public();
    struct lab_listener listener;
    char *response;

    (void)state;
    lab->origin.status = 404;
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", "");
    assert_int_equal(strncmp(response, "HTTP/1.1 404 ", 13), 0);
    assert_non_null(strstr(response, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\""));
    free(response);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1?ns=elsewhere", "");
    assert_int_equal(strncmp(response, "HTTP/1.1 404 ", 13), 0);
    assert_non_null(strstr(response, "\"NAME_UNKNOWN\""));
    free(response);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void manifest__of_a_type_that_is_not_accepted_comes_straight_from_upstream(void **state)
{
    struct lab *lab = lab_public();
    struct lab_listener listener;
    char *response;

    (void)state;
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", "Accept: application/x\r\n");
    assert_int_equal(strncmp(response, "HTTP/1.1 200 ", 13), 0);
    assert_string_equal(strstr(response, "\r\n\r\n") + 4,
                        MANIFEST); /* this registry gave it anyway */
    free(response);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

static void manifest__client_that_left_harms_nobody(void **state)
{
    struct lab *lab = lab_public();
    struct lab_listener listener;
    char *response;
    int fd;

    (void)state;
    lab->origin.holds_gets = true;
    lab_open(lab, 1);
    lab_listen(&listener, lab);
    fd = lab_send(&listener, "GET", "/v2/a/b/manifests/v1", "");
    origin_wait_count(&lab->origin, &lab->origin.n_waiting_gets, 1);
    close(fd);
    pthread_mutex_lock(&lab->origin.lock);
    lab->origin.holds_gets = false;
    pthread_cond_broadcast(&lab->origin.changed);
    pthread_mutex_unlock(&lab->origin.lock);
    response = lab_request(&listener, "GET", "/v2/a/b/manifests/v1", "");
    assert_string_equal(strstr(response, "\r\n\r\n") + 4, MANIFEST);
    free(response);
    assert_int_equal(origin_count(&lab->origin, &lab->origin.n_gets), 1);
    lab_unlisten(&listener, lab);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest__is_answered_byte_for_byte),
        cmocka_unit_test(manifest__that_was_refused_says_so_in_the_registrys_words),
        cmocka_unit_test(manifest__of_a_type_that_is_not_accepted_comes_straight_from_upstream),
        cmocka_unit_test(manifest__client_that_left_harms_nobody),
    };
    dt_log_start(2, DT_LOG_ERROR, DT_LOG_KV);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    dt_log_stop();
    return rc;
}
