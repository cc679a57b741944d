/*
 * supernode/proof.c - fetches one piece from a node that was accused, and looks for itself.
 *
 *   started -> fetched -> hashed (pool) -> proved | nothing      any failure -> nothing
 *
 * What was asked lately is remembered per loop, in a small ring: the accusations of one task come
 * to one loop.
 */
#define LOG_COMPONENT "proof"
#include "supernode/proof.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "supernode/node_priv.h"

static DT_DEFINE_COUNTER(metric_proofs, "darter_supernode_proofs_total", NULL,
                         "Accused nodes that were asked for the piece.");
static DT_DEFINE_COUNTER(metric_proved, "darter_supernode_proofs_proved_total", NULL,
                         "Accusations that proved right.");

struct recent {
    wire_id id;
    uint32_t piece;
    uint64_t until_ms;
};
struct recents {
    struct recent ring[PROOFS_REMEMBERED];
    unsigned next;
};
struct supernode_proofs {
    _Atomic unsigned n_running;
    struct recents *recents; /* owned; one per loop */
};

struct proof {
    struct dt_job job;
    struct supernode *supernode;
    struct dt_loop *loop;
    struct supernode_accusation about;
    struct dt_fetch *fetch; /* owned while it runs */
    char *bytes;            /* owned */
    struct wire_sum sum;
};

void supernode_proofs_new(struct supernode *supernode)
{
    dt_metric_register(&metric_proofs);
    dt_metric_register(&metric_proved);
    supernode->proofs = dt_new(struct supernode_proofs);
    supernode->proofs->recents =
        dt_new_array(struct recents, dt_loops_count(supernode->transfer.loops));
}

void supernode_proofs_free(struct supernode *supernode)
{
    if (supernode->proofs == NULL)
        return;
    free(supernode->proofs->recents);
    dt_free(&supernode->proofs);
}

static void end_proof(struct proof *proof)
{
    atomic_fetch_sub(&proof->supernode->proofs->n_running, 1);
    free(proof->bytes);
    free(proof);
}

static void run_sum(struct dt_job *job)
{
    struct proof *proof = dt_container_of(job, struct proof, job);
    wire_sum_of(&proof->sum, proof->bytes, proof->about.len);
}

static void sum_is_done(struct dt_job *job)
{
    struct proof *proof = dt_container_of(job, struct proof, job);
    const struct supernode_accusation *about = &proof->about;
    char name[13];
    bool is_proved = !wire_sum_equal(&proof->sum, &about->sum);
    dt_log_warn(is_proved ? "node_lies" : "accusation_unfounded",
                "node=%s id=%s address=%s blob=%s piece=%u", DT_LOG_Q(about->name), about->id,
                about->address, dt_digest_short(name, &about->digest), about->piece);
    if (is_proved && !atomic_load(&proof->supernode->is_stopping)) {
        dt_metric_add(&metric_proved, 1);
        supernode_nodes_strike(proof->supernode, about->id, about->address);
        supernode_tasks_quarantine(proof->supernode, about->id, about->address);
    }
    end_proof(proof);
}

/* Only a whole answer with the right length says anything about its bytes. */
static void on_answer(void *arg, const struct dt_err *err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len)
{
    struct proof *proof = arg;
    (void)fetch;
    proof->fetch = NULL;
    if (err->code != 0 || status != 206 || len != proof->about.len) {
        dt_log_info("accused_not_asked", "node=%s id=%s status=%d code=%s",
                    DT_LOG_Q(proof->about.name), proof->about.id, status, dt_code_name(err->code));
        end_proof(proof);
        return;
    }
    proof->bytes = dt_calloc(1, len + 1);
    memcpy(proof->bytes, body, len);
    proof->job = (struct dt_job){.run = run_sum, .done = sum_is_done, .loop = proof->loop};
    dt_pool_submit(proof->supernode->transfer.pool, &proof->job);
}

static void start_fetch(struct proof *proof)
{
    const struct supernode_accusation *about = &proof->about;
    struct supernode *supernode = proof->supernode;
    char ticket[WIRE_TICKET_MAX], digest[DT_DIGEST_TEXT_MAX], range[64];
    struct dt_err err = {0};
    wire_ticket_make(ticket, supernode->keys, &about->digest, supernode->site,
                     dt_wall_ms() + PROOF_TOTAL_MS);
    bool fits = dt_text_print(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, about->off,
                              about->off + about->len - 1);
    DT_ASSERT(fits);
    char *url = dt_asprintf("http://%s" WIRE_PATH_BLOBS "%s", about->address,
                            dt_digest_format(digest, &about->digest));
    struct dt_header headers[] = {{WIRE_HEADER_TICKET, ticket}, {"Range", range}};
    struct dt_fetch_opts opts = {
        .url = url,
        .headers = headers,
        .n_headers = 2,
        .connect_timeout_ms = PROOF_CONNECT_MS,
        .head_timeout_ms = PROOF_STALL_MS,
        .stall_timeout_ms = PROOF_STALL_MS,
        .total_timeout_ms = PROOF_TOTAL_MS,
        .max_body_bytes = about->len,
    };
    if (dt_fetch_whole(&proof->fetch, &opts, on_answer, proof, &err) < 0) {
        dt_log_info("accused_not_asked", "id=%s reason=%s", about->id, DT_LOG_Q(err.msg));
        end_proof(proof);
    }
    free(url);
}

static bool was_asked_lately(struct recents *recents, const struct supernode_accusation *about,
                             uint64_t now_ms)
{
    for (unsigned i = 0; i < PROOFS_REMEMBERED; i++) {
        const struct recent *recent = &recents->ring[i];
        if (recent->until_ms > now_ms && recent->piece == about->piece &&
            strcmp(recent->id, about->id) == 0)
            return true;
    }
    return false;
}

void supernode_proof_start(struct supernode *supernode, const struct supernode_accusation *about)
{
    struct supernode_proofs *proofs = supernode->proofs;
    struct dt_loop *loop = dt_loop_current();
    struct recents *recents = &proofs->recents[dt_loop_index(loop)];
    uint64_t now_ms = dt_loop_now_ms(loop);
    if (was_asked_lately(recents, about, now_ms))
        return;
    if (atomic_fetch_add(&proofs->n_running, 1) >= PROOFS_AT_ONCE) {
        atomic_fetch_sub(&proofs->n_running, 1);
        return;
    }
    struct recent *recent = &recents->ring[recents->next++ % PROOFS_REMEMBERED];
    memcpy(recent->id, about->id, sizeof(recent->id));
    recent->piece = about->piece;
    recent->until_ms = now_ms + PROOF_AGAIN_MS;
    dt_metric_add(&metric_proofs, 1);
    struct proof *proof = dt_new(struct proof);
    proof->supernode = supernode;
    proof->loop = loop;
    proof->about = *about;
    start_fetch(proof);
}
