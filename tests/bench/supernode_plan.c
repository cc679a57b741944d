/*
 * tests/bench/supernode_plan.c - how many assignments a second does the planner make on one core?
 *
 * Peers and pieces as given; every transfer takes one round, so that each assignment costs what it
 * does in a busy swarm: its planning, its end, and the search of those who ask in vain. No network,
 * only supernode/.
 *
 *   supernode_plan [peers] [pieces]
 */
#include "supernode/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

#define PIECE 4000000u
#define SLOTS 2u

static double cpu_s(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* cannot fail with this clock */
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void shuffle(struct supernode_assignment *items, size_t n, uint64_t *random)
{
    for (size_t i = n; i > 1; i--) {
        *random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t j = (*random >> 33) % i;
        struct supernode_assignment item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

static uint32_t join(struct supernode_swarm *swarm, bool is_seed)
{
    uint32_t peer = 0;
    struct supernode_peer about = {
        .up_slots = SLOTS, .down_slots = SLOTS, .rack = 1, .is_seed = is_seed};
    if (supernode_swarm_join(&peer, swarm, &about, NULL) < 0)
        exit(1);
    supernode_swarm_listen(swarm, peer, true);
    return peer;
}

int main(int argc, char **argv)
{
    uint32_t n_peers = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
    uint32_t n_pieces = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 256;
    struct supernode_swarm *swarm = NULL;
    struct supernode_swarm_options options = {
        .size = (uint64_t)n_pieces * PIECE, .piece_size = PIECE, .key = 7};
    size_t max = (size_t)n_peers * (SLOTS + 1), n = 0;
    uint64_t random = 1, now_ms = 0;
    if (supernode_swarm_new(&swarm, &options, NULL) < 0)
        return 1;
    struct supernode_assignment *flights = dt_new_array(struct supernode_assignment, max);
    uint32_t seed = join(swarm, true);
    for (uint32_t piece = 0; piece < n_pieces; piece++)
        (void)supernode_swarm_gained(swarm, seed, piece); /* it is new there */
    for (uint32_t i = 0; i < n_peers; i++)
        (void)join(swarm, false);
    double began = cpu_s(), planned = 0;
    while (supernode_swarm_look(swarm).n_complete < n_peers) {
        double before = cpu_s();
        n += supernode_plan(swarm, now_ms, flights + n, max - n);
        planned += cpu_s() - before;
        shuffle(flights, n, &random);
        /* An eighth of what is on the way arrives between two plans. */
        for (size_t k = n / 8 + 1; k > 0 && n > 0; k--) {
            const struct supernode_assignment *a = &flights[--n];
            (void)supernode_swarm_finished(swarm, a->to, a->piece, a->from, 100);
        }
        now_ms += 10;
    }
    double took = cpu_s() - began;
    struct supernode_swarm_view view = supernode_swarm_look(swarm);
    printf("planner, %u peers, %u pieces: %.0f assignments per CPU second (plan alone %.0f), "
           "%llu in %.2f s, %.1f %% of them hedges\n",
           n_peers, n_pieces, (double)view.n_assigned / took, (double)view.n_assigned / planned,
           (unsigned long long)view.n_assigned, took,
           100.0 * (double)view.n_hedged / (double)view.n_assigned);
    supernode_swarm_free(&swarm);
    free(flights);
    return 0;
}
