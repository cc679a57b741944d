/*
 * tests/sim/game.h - any sequence of events against the planner; what must always hold is asserted.
 */
#ifndef DARTER_TESTS_SIM_GAME_H
#define DARTER_TESTS_SIM_GAME_H

#include <stddef.h>
#include <stdint.h>

/* Bytes are moves. In the end an honest seed comes, nothing fails any more, and every peer must get
 * every piece in a bounded number of steps. Aborts when a rule is broken. */
void sim_game(const uint8_t *moves, size_t n);

#endif
