/*
 * base/admin_answer.c - how answers of the admin API look: JSON documents, and RFC 9457 problems.
 *
 * Fills a call's answer and sends nothing; any thread that holds the call.
 */
#include "base/admin.h"

#include "base/mem.h"
#include "base/units.h"

#define JSON_TYPE    "application/json"
#define PROBLEM_TYPE "application/problem+json"

/* RFC 9457 4.2.1: with type about:blank, the title is the status' own phrase (RFC 9110 15). */
static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {416, "Range Not Satisfiable"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

json_t *dt_admin_json_string(const char *text)
{
    json_t *string = json_string(text);
    return string != NULL ? string : json_string("(not UTF-8)");
}

char *dt_admin_json_text(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    DT_ASSERT(text != NULL); /* built here, of valid parts */
    json_decref(json);
    return text;
}

char *dt_admin_problem_text(int status, const char *code, const char *detail)
{
    json_t *problem = json_object();
    (void)json_object_set_new(problem, "type", json_string("about:blank"));
    (void)json_object_set_new(problem, "title", json_string(phrase_of(status)));
    (void)json_object_set_new(problem, "status", json_integer(status));
    (void)json_object_set_new(problem, "detail", dt_admin_json_string(detail));
    if (code != NULL)
        (void)json_object_set_new(problem, "code", json_string(code));
    return dt_admin_json_text(problem);
}

void dt_admin_answer_text(struct dt_admin_call *call, int status, const char *content_type,
                          char *body)
{
    DT_ASSERT(call->status == 0);
    call->status = status;
    call->content_type = content_type;
    call->body = body;
}

void dt_admin_answer_json(struct dt_admin_call *call, int status, json_t *json)
{
    dt_admin_answer_text(call, status, JSON_TYPE, dt_admin_json_text(json));
}

void dt_admin_answer_empty(struct dt_admin_call *call, int status)
{
    dt_admin_answer_text(call, status, NULL, NULL);
}

void dt_admin_answer_problem(struct dt_admin_call *call, int status, const char *code,
                             const char *detail)
{
    dt_admin_answer_text(call, status, PROBLEM_TYPE, dt_admin_problem_text(status, code, detail));
}

void dt_admin_answer_err(struct dt_admin_call *call, const struct dt_err *err)
{
    dt_admin_answer_problem(call, dt_code_http_status(err->code), dt_code_name(err->code),
                            err->msg);
}

/* ---- parts of documents ---- */

void dt_admin_json_time(json_t *object, const char *key, uint64_t unix_ms)
{
    char text[32];
    (void)json_object_set_new(
        object, key, unix_ms == 0 ? json_null() : json_string(dt_time_format(text, unix_ms)));
}

json_t *dt_admin_json_digest(const struct dt_digest *digest)
{
    char text[DT_DIGEST_TEXT_MAX];
    return json_string(dt_digest_format(text, digest));
}

json_t *dt_admin_json_routes(dt_admin_tables tables)
{
    static const char *const words[] = {
        [DT_GET] = "GET", [DT_POST] = "POST", [DT_PUT] = "PUT", [DT_DELETE] = "DELETE"};
    json_t *routes = json_array();
    for (; *tables != NULL; tables++)
        for (const struct dt_admin_route *route = *tables; route->pattern != NULL; route++)
            (void)json_array_append_new(routes,
                                        json_pack("{s:s, s:s, s:s}", "method", words[route->method],
                                                  "path", route->pattern, "about", route->doc));
    return routes;
}
