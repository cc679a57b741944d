/*
 * tests/unit/supernode_game_test.c - random events, thousands of them: no rule of the plan is ever
 * broken, and in the end everybody has everything (tests/sim/game.c asserts it all).
 */
#include "tests/sim/game.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#ifdef __SANITIZE_THREAD__
#define GAMES 5 /* one thread: a sanitizer of threads has nothing to find, and takes a minute */
#else
#define GAMES 60
#endif
#define MOVES 1000

static void play(uint64_t random, uint8_t calm)
{
    uint8_t moves[MOVES];
    for (int i = 0; i < MOVES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        moves[i] = (uint8_t)(random >> 24);
        if (calm > 0 && i % 3 == 2 && moves[i] > calm)
            moves[i] %= calm; /* plans, and transfers that finish */
    }
    sim_game(moves, MOVES);
}

static void plan__keeps_its_promises_whatever_happens(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= GAMES; i++)
        play(i * 0x9e3779b97f4a7c15ULL, 0);
}

static void plan__keeps_its_promises_in_busy_swarms(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= GAMES; i++)
        play(i * 0xd1342543de82ef95ULL, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan__keeps_its_promises_whatever_happens),
        cmocka_unit_test(plan__keeps_its_promises_in_busy_swarms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
