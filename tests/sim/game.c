/*
 * tests/sim/game.c - the planner's promises under any sequence of events.
 *
 * The game keeps its own books: who has what, which transfers are on the way. Each assignment is
 * checked against them, not against what the swarm says of itself.
 */
#include "tests/sim/game.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "supernode/plan.h"

#define PEERS   24u
#define FLIGHTS 256u
#define PIECE   100u

struct player {
    bool is_here, is_seed, is_listening, is_bad;
    uint32_t handle, up_slots, down_slots;
    uint64_t have;
};

struct transfer {
    bool is_used;
    struct supernode_assignment a;
};

struct game {
    struct supernode_swarm *swarm;
    uint32_t n_pieces;
    uint64_t now_ms;
    struct player players[PEERS];
    struct transfer transfers[FLIGHTS];
    const uint8_t *moves;
    size_t n_moves;
};

static uint8_t next(struct game *game)
{
    if (game->n_moves == 0)
        return 0;
    game->n_moves--;
    return *game->moves++;
}

static uint64_t all_pieces(const struct game *game)
{
    return game->n_pieces == 64 ? ~0ULL : (1ULL << game->n_pieces) - 1;
}

static struct player *player_of(struct game *game, uint32_t handle)
{
    for (uint32_t i = 0; i < PEERS; i++)
        if (game->players[i].is_here && game->players[i].handle == handle)
            return &game->players[i];
    return NULL;
}

static void join(struct game *game, uint32_t i, bool is_seed, uint64_t have)
{
    struct player *player = &game->players[i];
    struct supernode_peer about = {
        .site = 1,
        .rack = i % 3,
        .up_slots = 1 + i % 4,
        .down_slots = 1 + i % 3,
        .is_seed = is_seed,
        .have = &have,
    };
    if (player->is_here || supernode_swarm_join(&player->handle, game->swarm, &about, NULL) < 0)
        return;
    supernode_swarm_listen(game->swarm, player->handle, true);
    *player =
        (struct player){true, is_seed, true, false, player->handle, 1 + i % 4, 1 + i % 3, have};
}

static void leave(struct game *game, struct player *player)
{
    supernode_swarm_leave(game->swarm, player->handle);
    for (uint32_t i = 0; i < FLIGHTS; i++)
        if (game->transfers[i].a.to == player->handle ||
            game->transfers[i].a.from == player->handle)
            game->transfers[i].is_used = false;
    player->is_here = false;
}

/* Copies that count: in good hands, or on the way to them. */
static uint32_t copies(const struct game *game, uint32_t piece)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PEERS; i++) {
        const struct player *player = &game->players[i];
        if (!player->is_here || player->is_seed || player->is_bad)
            continue;
        bool is_coming = false;
        for (uint32_t t = 0; t < FLIGHTS; t++)
            is_coming = is_coming ||
                        (game->transfers[t].is_used && game->transfers[t].a.to == player->handle &&
                         game->transfers[t].a.piece == piece);
        n += (player->have >> piece & 1) || is_coming;
    }
    return n;
}

static void check_books(const struct game *game)
{
    for (uint32_t piece = 0; piece < game->n_pieces; piece++)
        DT_ASSERT(supernode_swarm_copies(game->swarm, piece) == copies(game, piece));
    for (uint32_t i = 0; i < PEERS; i++) {
        const struct player *player = &game->players[i];
        uint32_t n_up = 0, n_down = 0;
        for (uint32_t t = 0; t < FLIGHTS && player->is_here; t++) {
            n_up += game->transfers[t].is_used && game->transfers[t].a.from == player->handle;
            n_down += game->transfers[t].is_used && game->transfers[t].a.to == player->handle;
        }
        DT_ASSERT(n_up <= player->up_slots || !player->is_here);
        DT_ASSERT(n_down <= player->down_slots + 3 || !player->is_here);
        struct supernode_peer_view view = supernode_swarm_look_at(game->swarm, player->handle);
        if (player->is_here)
            DT_ASSERT(view.is_known && view.n_up == n_up && view.n_down == n_down &&
                      view.n_have == (uint32_t)__builtin_popcountll(player->have));
    }
}

static void note(struct game *game, const struct supernode_assignment *a)
{
    struct player *to = player_of(game, a->to), *from = player_of(game, a->from);
    uint32_t place = 0;
    DT_ASSERT(to != NULL && from != NULL && to != from && !to->is_seed && to->is_listening);
    DT_ASSERT(a->piece < game->n_pieces && (from->have >> a->piece & 1) && !from->is_bad);
    DT_ASSERT(!(to->have >> a->piece & 1));
    bool is_second = false;
    for (uint32_t t = 0; t < FLIGHTS; t++) {
        const struct transfer *other = &game->transfers[t];
        if (other->is_used && other->a.to == a->to && other->a.piece == a->piece) {
            DT_ASSERT(other->a.from != a->from);
            is_second = true;
        }
    }
    DT_ASSERT(is_second == a->is_hedge);
    while (place < FLIGHTS && game->transfers[place].is_used)
        place++;
    DT_ASSERT(place < FLIGHTS);
    game->transfers[place] = (struct transfer){true, *a};
}

static void plan(struct game *game, bool is_calm)
{
    struct supernode_assignment out[4];
    size_t n;
    do {
        uint64_t unsent[2] = {0};
        for (uint32_t piece = 0; piece < game->n_pieces; piece++)
            unsent[0] |= (uint64_t)(copies(game, piece) == 0) << piece;
        n = supernode_plan(game->swarm, game->now_ms, out, is_calm ? 1 : 4);
        for (size_t i = 0; i < n; i++) {
            /* Nothing failed: a seed repeats nothing while some piece never left. */
            bool repeats =
                player_of(game, out[i].from)->is_seed && !(unsent[0] >> out[i].piece & 1);
            DT_ASSERT(!is_calm || !repeats || unsent[0] == 0 || out[i].is_hedge);
            note(game, &out[i]);
        }
        check_books(game);
    } while (n == (is_calm ? 1 : 4));
}

static void finish(struct game *game, struct transfer *transfer)
{
    struct supernode_assignment a = transfer->a;
    struct player *to = player_of(game, a.to);
    DT_ASSERT(supernode_swarm_finished(game->swarm, a.to, a.piece, a.from, 1 + a.piece));
    to->have |= 1ULL << a.piece;
    for (uint32_t t = 0; t < FLIGHTS; t++)
        if (game->transfers[t].a.to == a.to && game->transfers[t].a.piece == a.piece)
            game->transfers[t].is_used = false;
    DT_ASSERT(!supernode_swarm_finished(game->swarm, a.to, a.piece, a.from, 1)); /* once */
}

static void fail(struct game *game, struct transfer *transfer, uint8_t how)
{
    struct supernode_failure failure = {
        .to = transfer->a.to,
        .piece = transfer->a.piece,
        .from = transfer->a.from,
        .why = how % SUPERNODE_WHY_END,
        .is_proved = how > 250,
        .now_ms = game->now_ms,
    };
    DT_ASSERT(supernode_swarm_failed(game->swarm, &failure));
    transfer->is_used = false;
    if (!failure.is_proved)
        return;
    player_of(game, failure.from)->is_bad = true;
    for (uint32_t t = 0; t < FLIGHTS; t++)
        if (game->transfers[t].a.from == failure.from)
            game->transfers[t].is_used = false;
}

/* A piece comes or goes without the plan. */
static void change(struct game *game, struct player *player, uint32_t piece)
{
    uint64_t bit = 1ULL << piece;
    if (player->have & bit) {
        DT_ASSERT(supernode_swarm_lost(game->swarm, player->handle, piece));
        for (uint32_t t = 0; t < FLIGHTS; t++) /* who was promised it will find out */
            if (game->transfers[t].is_used && game->transfers[t].a.from == player->handle &&
                game->transfers[t].a.piece == piece)
                fail(game, &game->transfers[t], SUPERNODE_WHY_REFUSED);
    } else {
        DT_ASSERT(supernode_swarm_gained(game->swarm, player->handle, piece));
        for (uint32_t t = 0; t < FLIGHTS; t++)
            if (game->transfers[t].a.to == player->handle && game->transfers[t].a.piece == piece)
                game->transfers[t].is_used = false;
    }
    player->have ^= bit;
}

static void move(struct game *game)
{
    uint8_t kind = next(game), which = next(game);
    struct player *player = &game->players[which % PEERS];
    struct transfer *transfer = &game->transfers[which];
    uint32_t piece = next(game) % game->n_pieces;
    for (uint32_t i = 0; i < FLIGHTS && !transfer->is_used; i++)
        transfer = &game->transfers[(which + i) % FLIGHTS];
    game->now_ms += piece;
    if (kind < 64)
        plan(game, false);
    else if (kind < 120 && transfer->is_used)
        finish(game, transfer);
    else if (kind < 140 && transfer->is_used)
        fail(game, transfer, next(game));
    else if (kind < 190)
        join(game, which % PEERS, kind < 145, (uint64_t)piece * 0x9e3779b9 & all_pieces(game));
    else if (!player->is_here)
        return;
    else if (kind < 200)
        leave(game, player);
    else if (kind < 230)
        change(game, player, piece);
    else if (kind < 240)
        supernode_swarm_want(game->swarm, player->handle, (uint64_t)piece * PIECE);
    else if (kind < 245)
        game->now_ms += (uint64_t)piece << which % 12;
    else
        supernode_swarm_listen(game->swarm, player->handle, player->is_listening = kind & 1);
}

static bool all_have_all(const struct game *game)
{
    for (uint32_t i = 0; i < PEERS; i++)
        if (game->players[i].is_here && !game->players[i].is_seed &&
            game->players[i].have != all_pieces(game))
            return false;
    return true;
}

static void play_to_the_end(struct game *game)
{
    if (game->players[PEERS - 1].is_here)
        leave(game, &game->players[PEERS - 1]);
    for (uint32_t i = 0; i < PEERS; i++) {
        if (game->players[i].is_here && game->players[i].is_seed)
            leave(game, &game->players[i]);
        game->players[i].is_listening = true;
        supernode_swarm_listen(game->swarm, game->players[i].handle, true);
    }
    join(game, PEERS - 1, true, all_pieces(game));
    game->now_ms += 3600000; /* old trouble is forgotten */
    for (uint32_t step = 0; !all_have_all(game); step++) {
        DT_ASSERT(step < PEERS * 64 * 4);
        game->now_ms += 20;
        plan(game, true);
        for (uint32_t t = 0; t < FLIGHTS; t++)
            if (game->transfers[t].is_used && (t + step) % 3 != 0)
                finish(game, &game->transfers[t]);
    }
}

void sim_game(const uint8_t *moves, size_t n)
{
    struct game *game = dt_new(struct game);
    game->moves = moves;
    game->n_moves = n;
    game->n_pieces = 1 + next(game) % 64;
    struct supernode_swarm_options options = {.size = (uint64_t)game->n_pieces * PIECE,
                                              .piece_size = PIECE,
                                              .site = 1,
                                              .key = next(game)};
    int rc = supernode_swarm_new(&game->swarm, &options, NULL);
    DT_ASSERT(rc == 0);
    while (game->n_moves > 0)
        move(game);
    play_to_the_end(game);
    supernode_swarm_free(&game->swarm);
    free(game);
}
