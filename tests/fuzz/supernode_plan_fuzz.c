/* Any sequence of events leaves the planner's promises whole. Input: moves of tests/sim/game.h.
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/game.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 4096) /* longer games only repeat themselves */
        sim_game(data, size);
    return 0;
}
