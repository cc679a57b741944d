/*
 * proxy/director_piece.c - the pieces of a directed task: what was ordered, what is on its way,
 * what the supernode knows to be here.
 *
 *   ordered -> begun (a source of its own) -> finished | failed: reported
 *
 * An order that cannot begin now (no stream free, a registry's stream is in that piece) stays until
 * it can, or until the piece is here by another way: then it is reported as gained. Of two fetches
 * of one piece the slower is dropped without a word: the first report said it all.
 */
#define LOG_COMPONENT "director"
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "proxy/director_priv.h"

#define ORDERS_MAX (4 * WIRE_ASSIGNMENTS_MAX)

static DT_DEFINE_COUNTER(metric_peer_pieces, "darter_swarm_pieces_total", "source=\"peer\"",
                         "Pieces fetched as a supernode said.");
static DT_DEFINE_COUNTER(metric_seed_pieces, "darter_swarm_pieces_total", "source=\"seed\"",
                         "Pieces fetched as a supernode said.");
#define X(metric, word)                                                                            \
    [WIRE_WHY_##metric] = {.name = "darter_swarm_piece_failures_total",                            \
                           .labels = "why=\"" word "\"",                                           \
                           .help = "Fetches from peers and seeds that failed.",                    \
                           .kind = DT_COUNTER},
static struct dt_metric metric_failures[WIRE_WHY_END] = {WIRE_WHYS(X)};
DT_SHOW_METRICS(metric_failures, WIRE_WHY_END, failures);
#undef X
static const char *const why_words[] = {
#define X(why, word) [WIRE_WHY_##why] = word,
    WIRE_WHYS(X)
#undef X
};

enum wire_why directed_why(int code)
{
    switch (code < 0 ? -code : code) {
    case DT_EBUSY:
        return WIRE_WHY_BUSY;
    case DT_ETIMEOUT:
        return WIRE_WHY_STALLED;
    case DT_EMISMATCH:
        return WIRE_WHY_BAD_SUM;
    case DT_EDENIED:
    case DT_EUNAUTHORIZED:
    case DT_ENOTFOUND:
    case DT_EPROTO:
    case DT_ETOOBIG:
        return WIRE_WHY_REFUSED;
    default:
        return WIRE_WHY_UNREACHABLE;
    }
}

/* ---- what is told ---- */

static bool is_told(const struct directed *directed, uint32_t piece)
{
    return (directed->told[piece / 64] >> piece % 64 & 1) != 0;
}

static void set_told(struct directed *directed, uint32_t piece)
{
    if (is_told(directed, piece))
        return;
    directed->told[piece / 64] |= 1ULL << piece % 64;
    directed->n_told++;
}

static void make_room(struct directed *directed, uint32_t n_pieces)
{
    if (directed->told != NULL && directed->n_pieces == n_pieces)
        return;
    free(directed->told);
    dt_free(&directed->sums);
    directed->told = dt_new_array(uint64_t, n_pieces / 64 + 1);
    directed->n_pieces = n_pieces;
    directed->n_told = 0;
}

void directed_tell_gained(struct directed *directed)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    if (pieces == NULL || directed->told == NULL || pieces->n != directed->n_pieces ||
        pieces->n_complete <= directed->n_told)
        return;
    for (uint32_t i = 0; i < pieces->n; i++) {
        if (is_told(directed, i) || !cache_pieces_is_complete(pieces, i))
            continue;
        set_told(directed, i);
        if (directed->exchange != NULL)
            exchange_gained(directed->exchange, i);
    }
}

void directed_pieces_opened(struct directed *directed)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    if (pieces == NULL)
        return;
    make_room(directed, pieces->n);
    directed_tell_gained(directed);
}

void directed_pieces_join(struct directed *directed, struct wire_join *out)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    if (pieces == NULL || pieces->n == 0 || pieces->n > WIRE_PIECES_MAX)
        return;
    make_room(directed, pieces->n);
    size_t words = (pieces->n + 63) / 64;
    memset(directed->told, 0, words * sizeof *directed->told);
    directed->n_told = 0;
    for (uint32_t i = 0; i < pieces->n; i++)
        if (cache_pieces_is_complete(pieces, i))
            set_told(directed, i);
    out->size = pieces->size;
    out->piece_size = pieces->piece_size;
    out->n_pieces = pieces->n;
    out->have = dt_new_array(uint64_t, words);
    memcpy(out->have, directed->told, words * sizeof *out->have);
    if (directed->sums == NULL || pieces->n > DIRECTED_SUMS_MAX)
        return;
    out->sums = dt_new_array(struct wire_sum, pieces->n);
    memcpy(out->sums, directed->sums, pieces->n * sizeof *out->sums);
}

/* ---- orders ---- */

static void remember_sum(struct directed *directed, const struct wire_assignment *order)
{
    if (!order->has_sum)
        return;
    if (directed->sums == NULL)
        directed->sums = dt_new_array(struct wire_sum, directed->n_pieces);
    directed->sums[order->piece] = order->sum;
}

static void fail_order(struct directed *directed, const struct wire_assignment *order,
                       enum wire_why why)
{
    struct wire_failed failed = {.piece = order->piece, .why = why};
    memcpy(failed.from, order->from, sizeof failed.from);
    if (directed->exchange != NULL)
        exchange_failed(directed->exchange, &failed);
}

/* They wait for their order to begin, or for other orders: at most WIRE_INLINE_MAX. */
static void keep_inline(struct directed *directed, const struct wire_exchange_reply *reply)
{
    if (reply->n_assignments == 0)
        return;
    dt_free(&directed->inline_bytes);
    if (reply->bytes == NULL)
        return;
    directed->inline_len = (size_t)reply->size;
    directed->inline_bytes = dt_realloc(NULL, directed->inline_len);
    memcpy(directed->inline_bytes, reply->bytes, directed->inline_len);
}

int directed_order(struct directed *directed, struct wire_exchange_reply *reply, struct dt_err *err)
{
    for (size_t i = 0; i < reply->n_assignments; i++)
        if (reply->assignments[i].piece >= directed->n_pieces)
            return dt_err_set(err, DT_EPROTO, "piece %u of a blob of %u pieces was assigned",
                              (unsigned)reply->assignments[i].piece, (unsigned)directed->n_pieces);
    keep_inline(directed, reply);
    for (size_t i = 0; i < reply->n_assignments; i++) {
        const struct wire_assignment *order = &reply->assignments[i];
        remember_sum(directed, order);
        if (directed->n_orders == ORDERS_MAX) {
            fail_order(directed, order, WIRE_WHY_BUSY);
            continue;
        }
        directed->orders =
            dt_realloc(directed->orders, (directed->n_orders + 1) * sizeof *directed->orders);
        directed->orders[directed->n_orders++] = *order;
    }
    return 0;
}

static bool is_flying(const struct directed *directed, const struct wire_assignment *order)
{
    for (size_t i = 0; i < directed->n_flights; i++)
        if (directed->flights[i].piece == order->piece &&
            strcmp(directed->flights[i].from, order->from) == 0)
            return true;
    return false;
}

static bool begin_order(struct directed *directed, const struct wire_assignment *order)
{
    struct proxy_director *director = directed->director;
    struct supernode_view supernode;
    char url[WIRE_ADDRESS_MAX + 8];
    bool is_supernode = order->address[0] == '\0';
    if (directed->n_flights == TRANSFER_FETCHES_MAX)
        return false;
    const void *inline_bytes = is_supernode ? directed->inline_bytes : NULL;
    supernodes_view(&supernode, director->opts.supernodes, directed->supernode);
    DT_ASSERT(dt_text_print(url, sizeof url, "http://%s", order->address));
    struct source *source = source_peer_new(director->opts.transfer,
                                            &(struct source_peer_opts){
                                                .base_url = is_supernode ? supernode.url : url,
                                                .is_seed = order->is_seed,
                                                .ticket = directed->ticket,
                                                .digest = &directed->digest,
                                                .ca_file = director->opts.options->supernode_ca,
                                                .down = &directed->bucket,
                                                .has_sum = order->has_sum,
                                                .sum = order->sum,
                                                .bytes = inline_bytes,
                                                .len = directed->inline_len,
                                            });
    const struct source *begun = source;
    if (!task_fetch_piece(directed->task, &source, order->piece)) {
        source->ops->free(&source);
        return false;
    }
    if (!order->has_sum)
        task_note_unproved(directed->task);
    struct directed_flight *flight = &directed->flights[directed->n_flights++];
    *flight = (struct directed_flight){
        .source = begun,
        .piece = order->piece,
        .is_seed = order->is_seed,
        .is_supernode = is_supernode,
    };
    memcpy(flight->from, order->from, sizeof flight->from);
    if (inline_bytes != NULL)
        dt_free(&directed->inline_bytes);
    return true;
}

/* A registry brought them first: what is told already needs no report. */
static void drop_overtaken(struct directed *directed, const struct cache_pieces *pieces)
{
    for (size_t i = 0; i < directed->n_flights;) {
        struct directed_flight flight = directed->flights[i];
        if (!cache_pieces_is_complete(pieces, flight.piece)) {
            i++;
            continue;
        }
        directed->flights[i] = directed->flights[--directed->n_flights];
        task_drop_fetch(directed->task, flight.source, flight.piece);
    }
}

void directed_begin_orders(struct directed *directed)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    size_t kept = 0;
    if (pieces == NULL || directed->exchange == NULL)
        return;
    directed_tell_gained(directed);
    drop_overtaken(directed, pieces);
    for (size_t i = 0; i < directed->n_orders; i++) {
        struct wire_assignment order = directed->orders[i];
        if (cache_pieces_is_complete(pieces, order.piece)) {
            exchange_gained(directed->exchange, order.piece); /* it may not have heard it */
            set_told(directed, order.piece);
            continue;
        }
        if (!is_flying(directed, &order) && !begin_order(directed, &order))
            directed->orders[kept++] = order;
    }
    directed->n_orders = kept;
}

void directed_drop_orders(struct directed *directed, bool with_its_flights)
{
    size_t kept = 0;
    directed->n_orders = 0;
    dt_free(&directed->inline_bytes);
    for (size_t i = 0; i < directed->n_flights; i++) {
        struct directed_flight flight = directed->flights[i];
        if (with_its_flights && flight.is_supernode)
            task_drop_fetch(directed->task, flight.source, flight.piece);
        else
            directed->flights[kept++] = flight;
    }
    directed->n_flights = kept;
}

void directed_drop_flights(struct directed *directed)
{
    for (size_t i = 0; i < directed->n_flights; i++)
        task_drop_fetch(directed->task, directed->flights[i].source, directed->flights[i].piece);
    directed->n_flights = 0;
}

/* ---- ends of fetches ---- */

static void drop_rivals(struct directed *directed, uint32_t piece)
{
    for (size_t i = 0; i < directed->n_flights;) {
        if (directed->flights[i].piece != piece) {
            i++;
            continue;
        }
        task_drop_fetch(directed->task, directed->flights[i].source, piece);
        directed->flights[i] = directed->flights[--directed->n_flights];
    }
}

static uint32_t piece_len(const struct directed *directed, uint32_t piece)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    return pieces != NULL && piece < pieces->n ? cache_pieces_len(pieces, piece) : 0;
}

static void note_finished(struct directed *directed, const struct directed_flight *flight,
                          const struct source *source)
{
    struct proxy_director *director = directed->director;
    uint64_t bytes = piece_len(directed, flight->piece), took_ms = source_peer_took_ms(source);
    struct wire_finished finished = {
        .piece = flight->piece,
        .took_ms = took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX,
    };
    memcpy(finished.from, flight->from, sizeof finished.from);
    (void)pthread_mutex_lock(&director->lock);
    *(flight->is_seed ? &directed->view.seed_bytes : &directed->view.peer_bytes) += bytes;
    (void)pthread_mutex_unlock(&director->lock);
    dt_metric_add(flight->is_seed ? &metric_seed_pieces : &metric_peer_pieces, 1);
    supernodes_count_piece(director->opts.supernodes, bytes, false);
    if (directed->told != NULL && flight->piece < directed->n_pieces)
        set_told(directed, flight->piece);
    if (directed->exchange != NULL)
        exchange_finished(directed->exchange, &finished);
    directed->n_failed_in_a_row = 0;
    drop_rivals(directed, flight->piece);
}

static void note_failed(struct directed *directed, const struct directed_flight *flight,
                        const struct source *source, const struct dt_err *err)
{
    struct proxy_director *director = directed->director;
    enum wire_why why = directed_why(err->code);
    char task[13];
    struct wire_failed failed = {.piece = flight->piece, .why = why};
    memcpy(failed.from, flight->from, sizeof failed.from);
    (void)pthread_mutex_lock(&director->lock);
    directed->view.failures++;
    (void)pthread_mutex_unlock(&director->lock);
    dt_metric_add(&metric_failures[why], 1);
    directed->n_failed_in_a_row++;
    if (why == WIRE_WHY_BAD_SUM) {
        supernodes_count_piece(director->opts.supernodes, 0, true);
        dt_log_warn("piece_bad", "task=%s piece=%u node=%s source=%s",
                    dt_digest_short(task, &directed->digest), (unsigned)flight->piece, flight->from,
                    DT_LOG_Q(source->name));
    } else {
        /* Transfers from a node that cannot be reached fail by the dozen: one line tells of them.
         */
        enum dt_log_level level = directed->n_failed_in_a_row == 1 ? DT_LOG_INFO : DT_LOG_DEBUG;
        dt_log_line(level, LOG_COMPONENT, "piece_failed",
                    "task=%s piece=%u node=%s source=%s why=%s err=%s",
                    dt_digest_short(task, &directed->digest), (unsigned)flight->piece, flight->from,
                    DT_LOG_Q(source->name), why_words[why], DT_LOG_Q(err->msg));
    }
    if (directed->exchange != NULL)
        exchange_failed(directed->exchange, &failed);
}

void directed_fetched(struct directed *directed, struct source *source, uint32_t piece,
                      const struct dt_err *err)
{
    for (size_t i = 0; i < directed->n_flights; i++) {
        struct directed_flight flight = directed->flights[i];
        if (flight.source != source || flight.piece != piece)
            continue;
        directed->flights[i] = directed->flights[--directed->n_flights];
        if (err->code == 0)
            note_finished(directed, &flight, source);
        else if (err->code != DT_ECANCELLED) /* else it is here by another way */
            note_failed(directed, &flight, source, err);
        break;
    }
    directed_begin_orders(directed);
    if (directed->exchange != NULL && directed->n_flights + directed->n_orders == 0)
        exchange_hurry(directed->exchange);
}

void directed_pieces_fini(struct directed *directed)
{
    free(directed->orders);
    free(directed->inline_bytes);
    free(directed->told);
    free(directed->sums);
}
