/*
 * tests/unit/transfer_piece_server_test.c - pieces for those who show a ticket.
 */
#include "transfer/piece_server.h"

#include "base/fetch_sync.h"
#include "base/text.h"
#include "tests/unit/transfer_lab.h"
#include "transfer/source_peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define SITE "north"

static struct lab *lab;
static struct dt_keys *keys;
static struct piece_server *server;
static struct dt_bucket up;
static struct lab_client client;

/* ---- the room ---- */

static void handle(void *arg, struct dt_http_req *req)
{
    (void)arg;
    if (piece_server_handle(server, req))
        return;
    dt_http_on_end(req, NULL, NULL);
    dt_http_reply(req, 404, "", 0);
}

static void load_keys(void)
{
    struct dt_err err = {0};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s-key", lab->dir);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    DT_ASSERT(fd >= 0 && write(fd, "a secret of enough characters\n", 30) == 30);
    dt_close(&fd);
    DT_ASSERT(dt_keys_load(&keys, path, &err) == 0);
    (void)unlink(path);
}

static int setup(void **state)
{
    struct dt_err err = {0};
    (void)state;
    lab = lab_open();
    load_keys();
    dt_bucket_init(&up, 0, dt_mono_us());
    server = piece_server_new(&(struct piece_server_opts){
        .transfer = &lab->transfer, .keys = keys, .site = SITE, .max_uploads = 2, .up = &up});
    struct dt_httpd_opts opts = {.name = "pieces", .handler = handle, .pool = lab->transfer.pool};
    DT_ASSERT(dt_addr_parse(&opts.addr, "127.0.0.1:0", &err) == 0);
    DT_ASSERT(dt_httpd_start(&lab->node, lab->transfer.loops, &opts, &err) == 0);
    client = (struct lab_client){.lab = lab, .size = LAB_SIZE};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (client.ticket != NULL)
        lab_call(lab, lab_client_detach, &client);
    lab_close(lab);
    piece_server_free(&server);
    piece_server_free(&server); /* harmless on NULL */
    dt_keys_free(&keys);
    return 0;
}

static void fill_cache(void)
{
    lab_call(lab, lab_client_attach, &client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
}

static bool is_readable(void *arg)
{
    uint64_t off = *(uint64_t *)arg;
    struct cache_reader *reader = NULL;
    if (cache_reader_open(&reader, lab->transfer.cache, &lab->digest, NULL) < 0)
        return false;
    bool is_here = cache_reader_available(reader, off, NULL) > 0;
    cache_reader_close(&reader);
    return is_here;
}

/* A fill that stands still in the middle of the third piece. */
static void fill_some(void)
{
    uint64_t last = 2 * LAB_PIECE - 1;
    atomic_store(&lab->hold_at, 2 * LAB_PIECE + 5);
    lab_call(lab, lab_client_attach, &client);
    lab_until(lab, is_readable, &last, "two pieces are here");
}

/* ---- asking ---- */

struct question {
    const char *method, *path, *ticket, *range; /* NULL = as a node would, "" = none */
    struct dt_fetch_sync_reply reply;
    struct dt_err err;
    pthread_t thread;
};

static void ask(struct question *question)
{
    char url[300], digest[DT_DIGEST_TEXT_MAX], ticket[WIRE_TICKET_MAX];
    struct dt_header headers[2];
    size_t n = 0;
    wire_ticket_make(ticket, keys, &lab->digest, SITE, dt_wall_ms() + WIRE_TICKET_LIFE_MS);
    if (question->ticket == NULL || question->ticket[0] != '\0')
        headers[n++] = (struct dt_header){WIRE_HEADER_TICKET,
                                          question->ticket != NULL ? question->ticket : ticket};
    if (question->range != NULL)
        headers[n++] = (struct dt_header){"Range", question->range};
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s%s", dt_httpd_port(lab->node),
                   question->path != NULL ? question->path : WIRE_PATH_BLOBS,
                   question->path != NULL ? "" : dt_digest_format(digest, &lab->digest));
    struct dt_fetch_sync_opts opts = {.method = question->method,
                                      .url = url,
                                      .headers = headers,
                                      .n_headers = n,
                                      .max_body_bytes = LAB_SIZE};
    (void)dt_fetch_sync(&question->reply, &opts, &question->err);
}

static void *ask_in_thread(void *arg)
{
    ask(arg);
    return NULL;
}

static void assert_status(struct question question, int status)
{
    ask(&question);
    assert_int_equal(question.err.code, 0);
    assert_int_equal(question.reply.status, status);
    dt_fetch_sync_reply_fini(&question.reply);
}

static void assert_bytes(struct question *question, uint64_t first, uint64_t len)
{
    assert_int_equal(question->err.code, 0);
    assert_int_equal(question->reply.status, 206);
    assert_int_equal(question->reply.len, len);
    assert_memory_equal(question->reply.body, lab->blob + first, len);
    dt_fetch_sync_reply_fini(&question->reply);
}

static bool is_uploading(void *arg)
{
    struct piece_server_counts counts;
    piece_server_count(&counts, server);
    return counts.uploads == *(unsigned *)arg;
}

/* ---- tests ---- */

static void pieces__of_a_sealed_blob_are_served(void **state)
{
    struct question first = {.range = "bytes=0-262143"}, last = {.range = "bytes=1835008-2097151"};
    struct piece_server_counts counts;
    unsigned none = 0;
    (void)state;
    assert_int_equal(LAB_PIECE, 262144);
    fill_cache();
    ask(&first);
    assert_bytes(&first, 0, LAB_PIECE);
    ask(&last);
    assert_bytes(&last, 7 * LAB_PIECE, LAB_SIZE - 7 * LAB_PIECE);
    lab_until(lab, is_uploading, &none, "both have ended");
    piece_server_count(&counts, server);
    assert_int_equal(counts.served, 2);
    assert_int_equal(counts.bytes, LAB_SIZE - 6 * LAB_PIECE);
    assert_int_equal(counts.refused, 0);
}

static void pieces__of_a_blob_being_filled_are_served(void **state)
{
    struct question second = {.range = "bytes=262144-524287"};
    (void)state;
    fill_some();
    ask(&second);
    assert_bytes(&second, LAB_PIECE, LAB_PIECE);
}

static void pieces__on_their_way_are_waited_for(void **state)
{
    struct question third = {.range = "bytes=524288-786431"};
    unsigned one = 1;
    (void)state;
    fill_some();
    assert_int_equal(pthread_create(&third.thread, NULL, ask_in_thread, &third), 0);
    lab_until(lab, is_uploading, &one, "it waits");
    atomic_store(&lab->hold_at, UINT64_MAX);
    assert_int_equal(pthread_join(third.thread, NULL), 0);
    assert_bytes(&third, 2 * LAB_PIECE, LAB_PIECE);
}

static void pieces__that_do_not_come_soon_are_not_here(void **state)
{
    struct piece_server_counts counts;
    unsigned none = 0;
    (void)state;
    fill_some();
    assert_status((struct question){.range = "bytes=524288-786431"}, 404);
    lab_until(lab, is_uploading, &none, "the slot is free");
    piece_server_count(&counts, server);
    assert_int_equal(counts.bytes, 0); /* what a refusal says is no piece */
}

static void pieces__of_a_fill_that_fails_are_not_here(void **state)
{
    struct question third = {.range = "bytes=524288-786431"};
    unsigned one = 1;
    (void)state;
    fill_some();
    assert_int_equal(pthread_create(&third.thread, NULL, ask_in_thread, &third), 0);
    lab_until(lab, is_uploading, &one, "it waits");
    transfer_tasks_abort(&lab->transfer);
    assert_int_equal(pthread_join(third.thread, NULL), 0);
    assert_int_equal(third.reply.status, 404);
    dt_fetch_sync_reply_fini(&third.reply);
}

static void pieces__are_cut_when_the_fill_fails(void **state)
{
    struct question first = {.range = "bytes=0-262143"};
    unsigned one = 1;
    (void)state;
    dt_bucket_set(&up, LAB_PIECE / 16, dt_mono_us()); /* 16 s: ample */
    fill_some();
    assert_int_equal(pthread_create(&first.thread, NULL, ask_in_thread, &first), 0);
    lab_until(lab, is_uploading, &one, "it is being sent");
    transfer_tasks_abort(&lab->transfer);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_true(first.err.code != 0 || first.reply.status == 404);
    dt_fetch_sync_reply_fini(&first.reply);
}

static void pieces__without_a_ticket_are_refused(void **state)
{
    char expired[WIRE_TICKET_MAX], foreign[WIRE_TICKET_MAX], other[WIRE_TICKET_MAX];
    struct dt_digest another = lab->digest;
    (void)state;
    fill_cache();
    another.raw[0] ^= 1;
    wire_ticket_make(expired, keys, &lab->digest, SITE, dt_wall_ms() - 1);
    wire_ticket_make(foreign, keys, &lab->digest, "south", dt_wall_ms() + 60000);
    wire_ticket_make(other, keys, &another, SITE, dt_wall_ms() + 60000);
    assert_status((struct question){.ticket = "", .range = "bytes=0-9"}, 401);
    assert_status((struct question){.ticket = "let me in", .range = "bytes=0-9"}, 401);
    assert_status((struct question){.ticket = expired, .range = "bytes=0-9"}, 401);
    assert_status((struct question){.ticket = other, .range = "bytes=0-9"}, 401);
    assert_status((struct question){.ticket = foreign, .range = "bytes=0-9"}, 403);
    struct piece_server_counts counts;
    piece_server_count(&counts, server);
    assert_int_equal(counts.refused, 5);
}

static void pieces__nonsense_is_refused(void **state)
{
    (void)state;
    assert_status((struct question){.range = "bytes=0-9"}, 404); /* not in the cache */
    fill_cache();
    assert_status((struct question){0}, 400); /* no Range */
    assert_status((struct question){.range = "bytes=0-1,4-5"}, 400);
    assert_status((struct question){.range = "bytes=9999999-"}, 416);
    assert_status((struct question){.path = WIRE_PATH_BLOBS "sha256:short"}, 400);
    assert_status((struct question){.method = "POST", .range = "bytes=0-9"}, 405);
    assert_status((struct question){.path = "/v1/other"}, 404);
}

static void pieces__more_than_the_slots_are_busy(void **state)
{
    struct question waiting[2] = {{.range = "bytes=524288-786431"},
                                  {.range = "bytes=524288-524289"}};
    unsigned two = 2;
    (void)state;
    dt_bucket_set(&up, LAB_PIECE, dt_mono_us());
    fill_cache();
    waiting[1].range = "bytes=786432-1048575";
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&waiting[i].thread, NULL, ask_in_thread, &waiting[i]), 0);
    lab_until(lab, is_uploading, &two, "both slots are taken");
    assert_status((struct question){.range = "bytes=0-9"}, 503);
    struct piece_server_counts counts;
    piece_server_count(&counts, server);
    assert_int_equal(counts.busy, 1);
    dt_bucket_set(&up, 0, dt_mono_us()); /* lifted while they run */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(waiting[i].thread, NULL), 0);
        assert_bytes(&waiting[i], (2 + (uint64_t)i) * LAB_PIECE, LAB_PIECE);
    }
}

static void pieces__go_out_at_the_rate_that_is_set(void **state)
{
    struct question first = {.range = "bytes=0-262143"};
    (void)state;
    fill_cache();
    dt_bucket_set(&up, LAB_PIECE, dt_mono_us());
    uint64_t began_us = dt_mono_us();
    ask(&first);
    assert_true(dt_mono_us() - began_us > 850 * 1000);
    assert_bytes(&first, 0, LAB_PIECE);
}

static void pieces__inside_of_messages_count_and_keep_to_the_rate(void **state)
{
    struct piece_server_counts counts;
    (void)state;
    assert_true(piece_server_count_inline(server, 60000));
    dt_bucket_set(&up, LAB_PIECE, dt_mono_us()); /* keeps a tenth of it at most */
    assert_false(piece_server_count_inline(server, 60000));
    piece_server_count(&counts, server);
    assert_int_equal(counts.served, 1);
    assert_int_equal(counts.bytes, 60000);
    assert_int_equal(counts.uploads, 0);
    dt_bucket_set(&up, 0, dt_mono_us());
    assert_true(piece_server_count_inline(server, 1));
}

/* ---- and one of ours on the other end ---- */

static struct source *source;
static struct source_fetch *fetch;
static struct dt_err fetch_err;
static uint64_t fetch_size, fetch_got;
static bool is_fetched;

static int on_size(void *arg, uint64_t size)
{
    (void)arg;
    fetch_size = size;
    return 0;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    DT_ASSERT(memcmp(bytes, lab->blob + LAB_PIECE + fetch_got, len) == 0);
    fetch_got += len;
    return true;
}

static void on_done(void *arg, const struct dt_err *err)
{
    (void)arg;
    fetch_err = *err;
    is_fetched = true;
}

static void fetch_start(void *arg)
{
    static const struct source_sink_ops SINK = {on_size, on_data, on_done};
    char url[64], ticket[WIRE_TICKET_MAX];
    (void)arg;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", dt_httpd_port(lab->node));
    wire_ticket_make(ticket, keys, &lab->digest, SITE, dt_wall_ms() + 60000);
    struct source_peer_opts opts = {.base_url = url,
                                    .is_seed = true,
                                    .ticket = ticket,
                                    .digest = &lab->digest,
                                    .has_sum = true};
    wire_sum_of(&opts.sum, lab->blob + LAB_PIECE, LAB_PIECE);
    source = source_peer_new(&lab->transfer, &opts);
    fetch = source->ops->fetch(
        source,
        &(struct source_span){.off = LAB_PIECE, .end = 2 * LAB_PIECE, .head_timeout_ms = 15000},
        &SINK, NULL);
}

static bool fetch_is_over(void *arg)
{
    (void)arg;
    return is_fetched;
}

static void fetch_free(void *arg)
{
    (void)arg;
    source->ops->free(&source);
}

static void pieces__are_what_a_peer_source_asks_for(void **state)
{
    (void)state;
    fill_cache();
    lab_call(lab, fetch_start, NULL);
    lab_until(lab, fetch_is_over, NULL, "fetched");
    assert_int_equal(fetch_err.code, 0);
    assert_int_equal(fetch_size, LAB_SIZE);
    assert_int_equal(fetch_got, LAB_PIECE);
    assert_int_equal(source->kind, SOURCE_SEED);
    lab_call(lab, fetch_free, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(pieces__of_a_sealed_blob_are_served),
        T(pieces__of_a_blob_being_filled_are_served),
        T(pieces__on_their_way_are_waited_for),
        T(pieces__that_do_not_come_soon_are_not_here),
        T(pieces__of_a_fill_that_fails_are_not_here),
        T(pieces__are_cut_when_the_fill_fails),
        T(pieces__without_a_ticket_are_refused),
        T(pieces__nonsense_is_refused),
        T(pieces__more_than_the_slots_are_busy),
        T(pieces__go_out_at_the_rate_that_is_set),
        T(pieces__inside_of_messages_count_and_keep_to_the_rate),
        T(pieces__are_what_a_peer_source_asks_for),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
