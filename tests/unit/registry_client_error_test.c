/*
 * tests/unit/registry_client_error_test.c - error bodies and statuses.
 */
#include "registry-client/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void body__has_code_and_message(void **state)
{
    struct dt_text out = {0};
    (void)state;
    reg_error_print(&out, -DT_EDENIED, NULL, "no");
    assert_string_equal(out.data, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}");
    dt_text_clear(&out);
    reg_error_print(&out, DT_ENOTFOUND, "BLOB_UNKNOWN", "");
    assert_string_equal(out.data, "{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"\"}]}");
    dt_text_fini(&out);
}

/* Prints, reads back with a real JSON reader, compares the message. */
static void assert_message(const char *given, const char *read_back)
{
    struct dt_text out = {0};
    const char *code = NULL, *message = NULL;

    reg_error_print(&out, DT_EINVAL, NULL, given);
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(
        json_unpack(root, "{s:[{s:s,s:s}]}", "errors", "code", &code, "message", &message), 0);
    assert_string_equal(message, read_back);
    json_decref(root);
    dt_text_fini(&out);
}

static void body__is_json_whatever_the_message(void **state)
{
    static const struct {
        const char *given, *read_back;
    } ROWS[] = {
        {"a\"b\\c/\n\t\x01\x7f", "a\"b\\c/\n\t\x01\x7f"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"x\xffy", "x\xef\xbf\xbdy"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* > 10FFFF */
    };
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++)
        assert_message(ROWS[i].given, ROWS[i].read_back);
}

static void status__becomes_our_code(void **state)
{
    static const struct {
        int status, code;
    } ROWS[] = {
        {200, DT_OK},           {206, DT_OK},
        {299, DT_OK},           {401, DT_EUNAUTHORIZED},
        {403, DT_EDENIED},      {404, DT_ENOTFOUND},
        {405, DT_EMETHOD},      {412, DT_EPOLICY},
        {416, DT_ERANGE},       {429, DT_EBUSY},
        {500, DT_EUNAVAILABLE}, {503, DT_EUNAVAILABLE},
        {599, DT_EUNAVAILABLE}, {100, DT_EPROTO},
        {302, DT_EPROTO},       {400, DT_EPROTO},
        {600, DT_EPROTO},       {0, DT_EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++)
        assert_int_equal(reg_status_code(ROWS[i].status), ROWS[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body__has_code_and_message),
        cmocka_unit_test(body__is_json_whatever_the_message),
        cmocka_unit_test(status__becomes_our_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
