/*
 * tests/unit/transfer_source_peer_test.c - one piece from a node that is right, slow, or a liar.
 * The node is a real server; how it behaves is asked for in the ticket.
 */
#include "transfer/source_peer.h"

#include "tests/unit/transfer_lab.h"

#include "base/text.h"

#include <netinet/in.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

static struct lab *lab;
static struct dt_bucket share;

/* ---- the node ---- */

struct reply {
    struct dt_http_req *req;
    const unsigned char *bytes;
    uint64_t give, hold; /* then: the end at `give`, silence at `hold` */
    bool is_chunked;
};

static enum dt_http_next reply_next(void *arg, uint64_t off, size_t max_len,
                                    struct dt_http_span *span)
{
    struct reply *reply = arg;
    if (off >= reply->hold)
        return DT_HTTP_WAIT;
    if (off >= reply->give)
        return reply->is_chunked ? DT_HTTP_EOF : DT_HTTP_FAIL;
    uint64_t end = reply->give < reply->hold ? reply->give : reply->hold;
    uint64_t len = end - off < max_len ? end - off : max_len;
    *span = (struct dt_http_span){.mem = reply->bytes + off, .len = (size_t)len};
    return DT_HTTP_SPAN;
}

static const struct dt_http_body_ops REPLY_OPS = {.next = reply_next};

static void reply_end(void *arg, const struct dt_http_summary *summary)
{
    (void)summary;
    free(arg);
}

static void node_handle(void *arg, struct dt_http_req *req)
{
    char digest[DT_DIGEST_TEXT_MAX], target[200];
    const char *how = dt_http_header(req, "darter-ticket");
    struct dt_range range = dt_range_parse(dt_http_header(req, "range"), LAB_SIZE);
    struct reply *reply = dt_new(struct reply);
    (void)arg;
    dt_http_on_end(req, reply_end, reply);
    (void)snprintf(target, sizeof(target), WIRE_PATH_BLOBS "%s",
                   dt_digest_format(digest, &lab->digest));
    DT_ASSERT(strcmp(dt_http_target(req), target) == 0 && range.kind == DT_RANGE_SATISFIABLE);
    uint64_t len = range.last - range.first + 1, shift = strcmp(how, "elsewhere") == 0 ? 1 : 0;
    uint64_t size = strcmp(how, "other-size") == 0 ? LAB_SIZE + 1 : LAB_SIZE;
    *reply = (struct reply){
        .req = req, .bytes = lab->blob + range.first, .give = len, .hold = UINT64_MAX};
    unsigned long long status = 0;
    if (dt_text_parse_u64(&status, how, strlen(how))) {
        dt_http_reply(req, (int)status, "no", 2);
        return;
    }
    if (strcmp(how, "bare") != 0)
        dt_http_add_headerf(req, "Content-Range", "bytes %llu-%llu/%llu",
                            (unsigned long long)(range.first + shift),
                            (unsigned long long)(range.last + shift), (unsigned long long)size);
    if (strcmp(how, "close") == 0)
        reply->give = len / 2;
    if (strcmp(how, "stall") == 0)
        reply->hold = len / 2;
    if (strcmp(how, "wrong") == 0)
        reply->bytes = lab->blob; /* some other bytes */
    uint64_t announced = len;
    if (strcmp(how, "short") == 0)
        announced = reply->give = len - 1;
    else if (strcmp(how, "long") == 0)
        announced = reply->give = len + 1;
    if (strcmp(how, "chunked") == 0) /* no length: only the end tells that it is short */
        announced = DT_HTTP_LENGTH_UNKNOWN, reply->give = len - 1, reply->is_chunked = true;
    if (strcmp(how, "chunked-long") == 0)
        announced = DT_HTTP_LENGTH_UNKNOWN, reply->give = len + 1, reply->is_chunked = true;
    dt_http_reply_stream(req, 206, announced, &REPLY_OPS, reply);
}

/* ---- the task ---- */

static struct order {
    struct source *source;
    struct source_fetch *fetch;
    uint64_t off, len;
    bool refuses_size;
    unsigned pauses;       /* says so often: not now */
    unsigned cancel_after; /* on_data calls; 0 = never */
    bool has_sum, is_limited;
    bool is_inline; /* the piece comes with the order: wrong_byte of it is changed */
    size_t wrong_byte;
    char how[32];
    char url[64];
    /* seen */
    uint64_t size;
    _Atomic unsigned n_sizes, n_data, n_done;
    unsigned char *got;
    size_t n_got;
    struct dt_err err;
} order;

static int order_on_size(void *arg, uint64_t size)
{
    (void)arg;
    order.n_sizes++;
    order.size = size;
    return order.refuses_size ? -DT_EPROTO : 0;
}

static bool order_on_data(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    DT_ASSERT(order.n_sizes == 1 && order.n_got + len <= order.len);
    order.n_data++;
    if (order.n_data == order.cancel_after) {
        order.source->ops->cancel(&order.fetch);
        return true;
    }
    if (order.pauses > 0) {
        order.pauses--;
        return false;
    }
    memcpy(order.got + order.n_got, bytes, len);
    order.n_got += len;
    return true;
}

static void order_on_done(void *arg, const struct dt_err *err)
{
    (void)arg;
    order.n_done++;
    order.fetch = NULL;
    order.err = *err;
}

static const struct source_sink_ops ORDER_OPS = {order_on_size, order_on_data, order_on_done};

static void order_start(void *arg)
{
    struct source_peer_opts opts = {.base_url = order.url,
                                    .ticket = order.how,
                                    .digest = &lab->digest,
                                    .down = order.is_limited ? &share : NULL,
                                    .has_sum = order.has_sum};
    struct source_span span = {
        .off = order.off, .end = order.off + order.len, .head_timeout_ms = 15000};
    (void)arg;
    wire_sum_of(&opts.sum, lab->blob + order.off, order.len);
    unsigned char *piece = dt_calloc(order.len, 1);
    memcpy(piece, lab->blob + order.off, order.len);
    if (order.wrong_byte < order.len)
        piece[order.wrong_byte] ^= 1;
    opts.bytes = order.is_inline ? piece : NULL;
    opts.len = order.len;
    order.source = source_peer_new(&lab->transfer, &opts);
    free(piece); /* it has a copy */
    order.fetch = order.source->ops->fetch(order.source, &span, &ORDER_OPS, NULL);
    DT_ASSERT(order.n_done == 0 && order.n_data == 0);
}

static void order_resume(void *arg)
{
    unsigned before = order.n_data;
    (void)arg;
    if (order.fetch != NULL)
        order.source->ops->resume(order.fetch);
    DT_ASSERT(order.n_data == before); /* never from inside */
}

static void order_cancel(void *arg)
{
    (void)arg;
    order.source->ops->cancel(&order.fetch);
    order.source->ops->cancel(&order.fetch); /* harmless on NULL */
}

static void order_free(void *arg)
{
    (void)arg;
    assert_int_equal(order.source->n_active, 0);
    order.source->ops->strike(order.source);
    assert_true(order.source->ops->is_ready(order.source, 0));
    order.source->ops->free(&order.source);
    order.source = NULL;
}

static bool is_done(void *arg)
{
    (void)arg;
    return order.n_done > 0;
}

static void fetch_piece(const char *how)
{
    (void)snprintf(order.how, sizeof(order.how), "%s", how);
    lab_call(lab, order_start, NULL);
    lab_until(lab, is_done, NULL, how);
    assert_int_equal(order.n_done, 1);
    assert_null(order.fetch);
}

static void assert_refused(const char *how, int code)
{
    fetch_piece(how);
    assert_string_equal(dt_code_name(order.err.code), dt_code_name(code));
    assert_int_equal(order.n_got, 0); /* not a byte before its sum was right */
    lab_call(lab, order_free, NULL);
}

/* ---- the room ---- */

static int setup(void **state)
{
    struct dt_err err = {0};
    (void)state;
    lab = lab_open();
    struct dt_httpd_opts opts = {
        .name = "node", .handler = node_handle, .pool = lab->transfer.pool};
    DT_ASSERT(dt_addr_parse(&opts.addr, "127.0.0.1:0", &err) == 0);
    DT_ASSERT(dt_httpd_start(&lab->node, lab->transfer.loops, &opts, &err) == 0);
    order = (struct order){
        .off = 3 * LAB_PIECE, .len = LAB_PIECE, .has_sum = true, .wrong_byte = SIZE_MAX};
    order.got = dt_calloc(LAB_PIECE, 1);
    (void)snprintf(order.url, sizeof(order.url), "http://127.0.0.1:%u", dt_httpd_port(lab->node));
    return 0;
}

static void free_source(void *arg)
{
    (void)arg;
    if (order.fetch != NULL)
        order.source->ops->cancel(&order.fetch);
    if (order.source != NULL)
        order.source->ops->free(&order.source);
}

static int teardown(void **state)
{
    (void)state;
    lab_call(lab, free_source, NULL);
    lab_close(lab);
    free(order.got);
    return 0;
}

/* ---- tests ---- */

static void peer__right_piece_is_given_whole(void **state)
{
    (void)state;
    fetch_piece("right");
    assert_int_equal(order.err.code, 0);
    assert_int_equal(order.size, LAB_SIZE);
    assert_int_equal(order.n_got, LAB_PIECE);
    assert_memory_equal(order.got, lab->blob + order.off, LAB_PIECE);
    assert_int_equal(order.source->bytes, LAB_PIECE);
    assert_int_equal(order.source->kind, SOURCE_PEER);
    assert_true(source_peer_took_ms(order.source) < LAB_DEADLINE_MS);
}

static void peer__a_paused_task_is_waited_for(void **state)
{
    (void)state;
    order.pauses = 3;
    (void)snprintf(order.how, sizeof(order.how), "right");
    lab_call(lab, order_start, NULL);
    for (int i = 0; order.n_done == 0 && i < 20000; i++) {
        lab_call(lab, order_resume, NULL);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* between two turns */
    }
    assert_int_equal(order.err.code, 0);
    assert_int_equal(order.pauses, 0);
    assert_memory_equal(order.got, lab->blob + order.off, LAB_PIECE);
}

static void peer__without_a_sum_the_bytes_are_taken_as_they_are(void **state)
{
    (void)state;
    order.has_sum = false;
    fetch_piece("wrong");
    assert_int_equal(order.err.code, 0);
    assert_memory_equal(order.got, lab->blob, LAB_PIECE);
}

static void peer__wrong_bytes_are_a_mismatch(void **state)
{
    (void)state;
    assert_refused("wrong", DT_EMISMATCH);
}

static void peer__short_piece_is_refused(void **state)
{
    (void)state;
    assert_refused("short", DT_EPROTO);
    order.n_done = 0;
    assert_refused("chunked", DT_EPROTO);
}

static void peer__long_piece_is_refused(void **state)
{
    (void)state;
    assert_refused("long", DT_EPROTO);
    order.n_done = 0;
    assert_refused("chunked-long", DT_EPROTO);
}

static void peer__full_node_is_busy(void **state)
{
    (void)state;
    assert_refused("503", DT_EBUSY);
}

static void peer__401_403_and_404_are_refusals(void **state)
{
    (void)state;
    assert_refused("401", DT_EDENIED);
    order.n_done = 0;
    assert_refused("403", DT_EDENIED);
    order.n_done = 0;
    assert_refused("404", DT_EDENIED);
}

static void peer__another_status_is_nonsense(void **state)
{
    (void)state;
    assert_refused("200", DT_EPROTO);
    order.n_done = 0;
    assert_refused("500", DT_EPROTO);
}

static void peer__another_range_is_nonsense(void **state)
{
    (void)state;
    assert_refused("elsewhere", DT_EPROTO);
    order.n_done = 0;
    assert_refused("bare", DT_EPROTO);
}

static void peer__a_size_that_the_task_refuses_ends_it(void **state)
{
    (void)state;
    order.refuses_size = true;
    assert_refused("other-size", DT_EPROTO);
    assert_int_equal(order.size, LAB_SIZE + 1);
}

static void peer__a_node_that_stalls_is_left(void **state)
{
    (void)state;
    assert_refused("stall", DT_ETIMEOUT);
}

static void peer__a_broken_connection_is_unavailable(void **state)
{
    (void)state;
    assert_refused("close", DT_EUNAVAILABLE);
}

static void peer__nobody_there_is_unavailable(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0); /* bound, nobody listens */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    (void)snprintf(order.url, sizeof(order.url), "http://127.0.0.1:%u", ntohs(addr.sin_port));
    assert_refused("right", DT_EUNAVAILABLE);
    (void)close(fd);
}

static void peer__an_unreadable_address_fails_later(void **state)
{
    (void)state;
    (void)snprintf(order.url, sizeof(order.url), "http://bad host");
    assert_refused("right", DT_EINVAL);
}

static void peer__the_task_may_cancel_while_it_is_given_bytes(void **state)
{
    (void)state;
    order.cancel_after = 1;
    (void)snprintf(order.how, sizeof(order.how), "right");
    lab_call(lab, order_start, NULL);
    uint64_t began_us = dt_mono_us();
    while (order.n_data == 0 && dt_mono_us() - began_us < LAB_DEADLINE_MS * 1000ull)
        lab_call(lab, order_resume, NULL);
    lab_call(lab, order_free, NULL);
    assert_int_equal(order.n_done, 0);
}

static _Atomic bool is_holding;
static sem_t may_go;
static void hold_pool(struct dt_job *job)
{
    (void)job;
    atomic_store(&is_holding, true);
    while (sem_wait(&may_go) < 0)
        continue;
}

static bool sum_is_queued(void *arg)
{
    (void)arg;
    return dt_pool_queued(lab->transfer.pool) >= 1;
}

static void peer__cancel_while_the_sum_is_computed_leaves_nothing(void **state)
{
    struct dt_job holds[2] = {{.run = hold_pool}, {.run = hold_pool}};
    (void)state;
    (void)sem_init(&may_go, 0, 0);
    dt_pool_submit(lab->transfer.pool, &holds[0]); /* both workers are busy */
    dt_pool_submit(lab->transfer.pool, &holds[1]);
    while (dt_pool_queued(lab->transfer.pool) > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* until both have begun */
    (void)snprintf(order.how, sizeof(order.how), "right");
    lab_call(lab, order_start, NULL);
    lab_until(lab, sum_is_queued, NULL, "the sum waits for a worker");
    lab_call(lab, order_cancel, NULL);
    lab_call(lab, order_free, NULL);
    (void)sem_post(&may_go);
    (void)sem_post(&may_go);
    assert_int_equal(order.n_done, 0);
    assert_int_equal(order.n_data, 0);
}

static void peer__a_limit_holds_it_back_and_is_no_stall(void **state)
{
    (void)state;
    order.is_limited = true;
    dt_bucket_init(&share, LAB_PIECE, dt_mono_us()); /* one piece a second */
    uint64_t began_us = dt_mono_us();
    fetch_piece("right");
    uint64_t took_us = dt_mono_us() - began_us;
    assert_int_equal(order.err.code, 0);
    assert_true(took_us > 850 * 1000); /* a tenth of a second's worth may have been there */
}

/* Nobody is asked: nobody is at the address. */
static void order_inline(uint64_t len)
{
    order.is_inline = true;
    order.len = len;
    (void)snprintf(order.url, sizeof(order.url), "http://bad host");
}

static void inline__piece_is_given_whole(void **state)
{
    (void)state;
    order_inline(10000);
    fetch_piece("right");
    assert_int_equal(order.err.code, 0);
    assert_true(order.size == UINT64_MAX); /* that the piece does not tell */
    assert_int_equal(order.n_got, 10000);
    assert_memory_equal(order.got, lab->blob + order.off, 10000);
    assert_int_equal(order.source->bytes, 10000);
}

static void inline__piece_with_one_wrong_byte_is_a_mismatch(void **state)
{
    (void)state;
    order_inline(10000);
    order.wrong_byte = 9999;
    assert_refused("right", DT_EMISMATCH);
}

static void inline__piece_without_a_sum_is_taken_as_it_is(void **state)
{
    (void)state;
    order_inline(10000);
    order.has_sum = false;
    order.wrong_byte = 0;
    fetch_piece("right");
    assert_int_equal(order.err.code, 0);
    assert_int_equal(order.got[0], lab->blob[order.off] ^ 1);
}

static void inline__piece_is_paid_for_like_any_other(void **state)
{
    (void)state;
    order_inline(LAB_PIECE / 4);
    order.is_limited = true;
    dt_bucket_init(&share, LAB_PIECE / 4, dt_mono_us()); /* all of it in a second */
    uint64_t began_us = dt_mono_us();
    fetch_piece("right");
    assert_int_equal(order.err.code, 0);
    assert_true(dt_mono_us() - began_us > 850 * 1000);
}

static void inline__piece_may_be_cancelled_before_it_is_given(void **state)
{
    (void)state;
    order_inline(LAB_PIECE / 4);
    order.is_limited = true;
    dt_bucket_init(&share, 1, dt_mono_us()); /* never enough */
    (void)snprintf(order.how, sizeof(order.how), "right");
    lab_call(lab, order_start, NULL);
    lab_call(lab, order_cancel, NULL);
    lab_call(lab, order_free, NULL);
    assert_int_equal(order.n_done, 0);
    assert_int_equal(order.n_data, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(peer__right_piece_is_given_whole),
        T(peer__a_paused_task_is_waited_for),
        T(peer__without_a_sum_the_bytes_are_taken_as_they_are),
        T(peer__wrong_bytes_are_a_mismatch),
        T(peer__short_piece_is_refused),
        T(peer__long_piece_is_refused),
        T(peer__full_node_is_busy),
        T(peer__401_403_and_404_are_refusals),
        T(peer__another_status_is_nonsense),
        T(peer__another_range_is_nonsense),
        T(peer__a_size_that_the_task_refuses_ends_it),
        T(peer__a_node_that_stalls_is_left),
        T(peer__a_broken_connection_is_unavailable),
        T(peer__nobody_there_is_unavailable),
        T(peer__an_unreadable_address_fails_later),
        T(peer__the_task_may_cancel_while_it_is_given_bytes),
        T(peer__cancel_while_the_sum_is_computed_leaves_nothing),
        T(peer__a_limit_holds_it_back_and_is_no_stall),
        T(inline__piece_is_given_whole),
        T(inline__piece_with_one_wrong_byte_is_a_mismatch),
        T(inline__piece_without_a_sum_is_taken_as_it_is),
        T(inline__piece_is_paid_for_like_any_other),
        T(inline__piece_may_be_cancelled_before_it_is_given),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
