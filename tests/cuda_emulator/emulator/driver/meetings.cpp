#include "meetings.h"

#include <algorithm>
#include <cstring>

// ---- what the threads call
static void wait(Fiber& fiber, Fiber::State state, uint32_t mask_or_name, int statement) {
    fiber.state = state;
    fiber.mask_or_name = mask_or_name;
    fiber.statement = statement;
    wait_for_others(fiber);
}

uint32_t emu_barrier(Thread* thread, uint32_t name, int question, int answer, int statement) {
    Fiber& fiber = fiber_of(thread);
    fiber.question = question;
    fiber.answer = answer ? 1 : 0;
    wait(fiber, Fiber::at_barrier, name, statement);
    return fiber.result;
}

static void meet_in_warp(Fiber& fiber, uint32_t mask, bool is_barrier, uint32_t answer, int statement) {
    if (!(mask >> fiber.thread.number % WARP & 1))
        fault(fiber, CUDA_ERROR_LAUNCH_FAILED, "a lane that its own mask leaves out", statement);
    fiber.is_warp_barrier = is_barrier;
    fiber.answer = answer;
    wait(fiber, Fiber::at_warp_meeting, mask, statement);
}

void emu_warp_barrier(Thread* thread, uint32_t mask, int statement) {
    meet_in_warp(fiber_of(thread), mask, true, 0, statement);
}

uint32_t emu_shuffle(Thread* thread, int mode, uint32_t value, uint32_t lane, uint32_t limits, uint32_t mask, int* found,
                     int statement) {
    Fiber& fiber = fiber_of(thread);
    meet_in_warp(fiber, mask, false, value, statement);
    // as PTX defines it: segments of the warp, with a clamp at their ends
    uint32_t own = thread->number % WARP, by = lane & 31, segments = limits >> 8 & 31, clamp = limits & 31;
    uint32_t last = (own & segments) | (clamp & ~segments), first = own & segments, from;
    bool is_inside;
    switch (mode) {
        case SHUFFLE_UP: from = own - by; is_inside = (int32_t)from >= (int32_t)last; break;
        case SHUFFLE_DOWN: from = own + by; is_inside = from <= last; break;
        case SHUFFLE_BFLY: from = own ^ by; is_inside = from <= last; break;
        default: from = first | (by & ~segments); is_inside = from <= last; break;
    }
    if (!is_inside) from = own;
    *found = is_inside;
    if (!(mask >> from & 1))
        fault(fiber, CUDA_ERROR_LAUNCH_FAILED, "a shuffle from a lane that does not take part", statement);
    return fiber.lanes[from];
}

uint32_t emu_vote(Thread* thread, int mode, int answer, uint32_t mask, int statement) {
    Fiber& fiber = fiber_of(thread);
    meet_in_warp(fiber, mask, false, answer ? 1 : 0, statement);
    uint32_t members = fiber.result, ballot = 0;
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (members >> lane & 1 && fiber.lanes[lane]) ballot |= 1u << lane;
    switch (mode) {
        case VOTE_ALL: return ballot == members;
        case VOTE_ANY: return ballot != 0;
        case VOTE_UNI: return ballot == members || ballot == 0;
        default: return ballot;
    }
}

static constexpr uint32_t SCOPE_GRID = 1;

void emu_grid_handle(Thread* thread, char* handle, char* scope, int statement) {
    uint32_t wanted;
    memcpy(&wanted, scope, 4);
    if (wanted != SCOPE_GRID)
        fault(fiber_of(thread), CUDA_ERROR_LAUNCH_FAILED, "a group that is not the grid", statement);
    uint64_t value = current_launch->cooperative ? 1 : 0;
    memcpy(handle, &value, 8);
}

void emu_grid_barrier(Thread* thread, char* result, char* handle, char* flags, int statement) {
    (void)flags;
    uint64_t value;
    memcpy(&value, handle, 8);
    Fiber& fiber = fiber_of(thread);
    if (!value)
        fault(fiber, CUDA_ERROR_LAUNCH_FAILED, "a barrier of the grid in a launch that is not cooperative", statement);
    wait(fiber, Fiber::at_grid_barrier, 0, statement);
    memset(result, 0, 4);
}

// ---- what the scheduler calls
bool release_warp(RunningBlock& running, size_t first) {
    size_t n = std::min<size_t>(WARP, running.fibers.size() - first);
    Fiber* lanes = &running.fibers[first];
    uint32_t there = n == WARP ? ~0u : (1u << n) - 1;
    bool released = false;
    for (size_t lane = 0; lane < n; lane++) {
        if (lanes[lane].state != Fiber::at_warp_meeting) continue;
        const Fiber& asking = lanes[lane];
        uint32_t members = asking.mask_or_name & there;
        bool complete = true;
        for (uint32_t k = 0; k < n && complete; k++) {
            const Fiber& other = lanes[k];
            if (!(members >> k & 1)) continue;
            // barriers may stand at different places in the code, shuffles and votes may not
            complete = other.state == Fiber::at_warp_meeting && other.mask_or_name == asking.mask_or_name &&
                       other.is_warp_barrier == asking.is_warp_barrier &&
                       (asking.is_warp_barrier || other.statement == asking.statement);
        }
        if (!complete) continue;
        released = true;
        uint32_t answers[WARP] = {};
        uint16_t known[WARP] = {};
        bool is_barrier = asking.is_warp_barrier;
        for (uint32_t k = 0; k < n; k++) {
            if (!(members >> k & 1)) continue;
            answers[k] = lanes[k].answer;
            if (is_barrier)
                for (uint32_t j = 0; j < WARP; j++)
                    if ((int16_t)(lanes[k].known[j] - known[j]) > 0) known[j] = lanes[k].known[j];
        }
        for (uint32_t k = 0; k < n; k++)
            if (is_barrier && members >> k & 1) known[k] = ++lanes[k].clock;
        for (uint32_t k = 0; k < n; k++) {
            if (!(members >> k & 1)) continue;
            lanes[k].state = Fiber::ready;
            lanes[k].result = members;
            if (is_barrier) memcpy(lanes[k].known, known, sizeof known);
            else memcpy(lanes[k].lanes, answers, sizeof answers);
        }
    }
    return released;
}

static std::string waits(const Fiber& fiber) {
    switch (fiber.state) {
        case Fiber::ended: return "has ended";
        case Fiber::ready: return "runs";
        default: return "waits at " + describe_statement(fiber.statement);
    }
}

static void differ(const char* what, const Fiber& one, const Fiber& other) {
    fault_of_launch(CUDA_ERROR_LAUNCH_FAILED,
                    std::string(what) + ": " + describe(one) + " " + waits(one) + ", but " + describe(other) + " " + waits(other));
}

bool release_block(RunningBlock& running) {
    Fiber* waiting = nullptr;
    for (Fiber& fiber : running.fibers) {
        if (fiber.state == Fiber::ready) return false;
        if (fiber.state == Fiber::at_barrier && !waiting) waiting = &fiber;
    }
    if (!waiting) return false;
    uint32_t yes = 0, n = (uint32_t)running.fibers.size();
    for (Fiber& fiber : running.fibers) {
        if (fiber.state != Fiber::at_barrier) {
            differ("a barrier of the block that only some of its threads reach", *waiting, fiber);
            return false;
        }
        if (fiber.statement != waiting->statement || fiber.mask_or_name != waiting->mask_or_name) {
            differ("threads of a block meet at different barriers", *waiting, fiber);
            return false;
        }
        yes += fiber.answer;
    }
    for (Fiber& fiber : running.fibers) {
        fiber.result = fiber.question == ASK_AND ? yes == n : fiber.question == ASK_OR ? yes > 0 : yes;
        fiber.barriers++;
        fiber.state = Fiber::ready;
    }
    return true;
}

bool release_grid(std::vector<std::unique_ptr<RunningBlock>>& blocks) {
    const Fiber* waiting = nullptr;
    for (auto& running : blocks)
        for (Fiber& fiber : running->fibers) {
            if (fiber.state == Fiber::ready || fiber.state == Fiber::at_barrier) return false;
            if (fiber.state == Fiber::at_grid_barrier && !waiting) waiting = &fiber;
        }
    if (!waiting) return false;
    for (auto& running : blocks)
        for (Fiber& fiber : running->fibers)
            if (fiber.state != Fiber::at_grid_barrier) {
                differ("a barrier of the grid that not all threads reach", *waiting, fiber);
                return false;
            } else if (fiber.statement != waiting->statement) {
                differ("threads meet at different barriers of the grid", *waiting, fiber);
                return false;
            }
    for (auto& running : blocks)
        for (Fiber& fiber : running->fibers) {
            fiber.state = Fiber::ready;
            fiber.barriers++;
        }
    return true;
}

bool all_ended(const std::vector<std::unique_ptr<RunningBlock>>& blocks) {
    for (auto& running : blocks)
        for (const Fiber& fiber : running->fibers)
            if (fiber.state != Fiber::ended) return false;
    return true;
}

CUresult explain_deadlock(const std::vector<std::unique_ptr<RunningBlock>>& blocks) {
    for (auto& running : blocks)
        for (const Fiber& fiber : running->fibers) {
            if (fiber.state != Fiber::at_warp_meeting) continue;
            size_t first = fiber.thread.number / WARP * WARP;
            for (size_t k = first; k < std::min(first + WARP, running->fibers.size()); k++) {
                const Fiber& other = running->fibers[k];
                bool is_wanted = fiber.mask_or_name >> (k - first) & 1;
                bool is_same = other.state == Fiber::at_warp_meeting && other.statement == fiber.statement &&
                               other.mask_or_name == fiber.mask_or_name;
                if (is_wanted && !is_same) {
                    differ("lanes of a warp wait for one that does not come", fiber, other);
                    return failed_with();
                }
            }
        }
    return fault_of_launch(CUDA_ERROR_LAUNCH_TIMEOUT, "deadlock: every thread waits for another one");
}
