/*
 * tests/unit/transfer_admin_page_test.c - what a query of the cache's list says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "transfer/admin_priv.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void page__says_what_was_asked(void **state)
{
    (void)state;
    struct transfer_admin_page page;
    struct dt_err err;
    char text[DT_DIGEST_TEXT_MAX];
    assert_int_equal(transfer_admin_page_parse(&page, "", &err), 0);
    assert_int_equal(page.limit, TRANSFER_ADMIN_PAGE_NORMAL);
    assert_int_equal(page.filter.state, -1);
    assert_int_equal(page.filter.pinned, -1);
    assert_null(page.filter.upstream);
    assert_false(page.has_after);

    assert_int_equal(
        transfer_admin_page_parse(&page,
                                  "limit=7&state=partial&pinned=true&upstream=docker.io&"
                                  "repository=library%2Fnginx&after=sha256:" HEX,
                                  &err),
        0);
    assert_int_equal(page.limit, 7);
    assert_int_equal(page.filter.state, CACHE_PARTIAL);
    assert_int_equal(page.filter.pinned, 1);
    assert_string_equal(page.filter.upstream, "docker.io");
    assert_string_equal(page.filter.repository, "library/nginx");
    assert_true(page.has_after);
    assert_string_equal(dt_digest_format(text, &page.after), "sha256:" HEX);
}

static void page__refuses_what_it_cannot_read(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "limit=-1", "limit=1001", "limit=x",          "limit=",       "state=whole", "pinned=maybe",
        "after=x",  "after=%00",  "repository=alone", "upstream=%zz", "state=%00",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct transfer_admin_page page;
        struct dt_err err = {0};
        assert_true(transfer_admin_page_parse(&page, queries[i], &err) < 0);
        assert_int_equal(dt_code_http_status(err.code), 400);
        assert_true(err.msg[0] != '\0');
    }
}

static void page__the_next_one_asks_the_same(void **state)
{
    (void)state;
    struct transfer_admin_page page, next;
    struct dt_err err;
    struct dt_digest last;
    assert_int_equal(dt_digest_parse(&last, "sha256:" HEX, strlen("sha256:" HEX), NULL), 0);
    assert_int_equal(transfer_admin_page_parse(&page,
                                               "limit=7&state=sealed&pinned=false&upstream=a%26b&"
                                               "repository=library/nginx",
                                               &err),
                     0);
    char *path = transfer_admin_page_next(&page, &last);
    const char *query = strchr(path, '?');
    assert_non_null(query);
    assert_int_equal(transfer_admin_page_parse(&next, query + 1, &err), 0);
    assert_int_equal(next.limit, 7);
    assert_int_equal(next.filter.state, CACHE_SEALED);
    assert_int_equal(next.filter.pinned, 0);
    assert_string_equal(next.filter.upstream, "a&b");
    assert_string_equal(next.filter.repository, "library/nginx");
    assert_true(next.has_after && dt_digest_equal(&next.after, &last));
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page__says_what_was_asked),
        cmocka_unit_test(page__refuses_what_it_cannot_read),
        cmocka_unit_test(page__the_next_one_asks_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
