// Where threads wait for each other: warps, blocks and the grid.
#pragma once
#include <memory>

#include "emulator.h"

void wait_for_others(Fiber&);  // comes back when the meeting has taken place

// Let those go on whose meeting is complete; return whether there were any.
bool release_warp(RunningBlock&, size_t first);
bool release_block(RunningBlock&);
bool release_grid(std::vector<std::unique_ptr<RunningBlock>>&);

bool all_ended(const std::vector<std::unique_ptr<RunningBlock>>&);
// Nobody can go on: says who waits for whom.
CUresult explain_deadlock(const std::vector<std::unique_ptr<RunningBlock>>&);
