// Runs the threads of a launch as fibers: each runs until it waits for others or ends, then the next one does.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "emulator.h"
#include "meetings.h"

// ---- fibers
// Saves the registers that a function must keep and the stack, and goes on with those of another fiber.
extern "C" void switch_stack(void** save, void* load);
asm(R"(
.text
.globl switch_stack
.hidden switch_stack
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

static constexpr size_t STACK_BYTES = 128 << 10, PAGE = 4096;
static std::vector<char*> stacks;
static void* scheduler_stack;
static Fiber* running_fiber;
static std::mt19937 chance;

Launch* current_launch;
uint32_t current_era = 0;

void wait_for_others(Fiber& fiber) { switch_stack(&fiber.stack_pointer, scheduler_stack); }

void leave_for_good(Fiber& fiber) {
    fiber.state = Fiber::ended;
    switch_stack(&fiber.stack_pointer, scheduler_stack);
    abort();  // nobody comes back
}

static void fiber_begins() {
    Fiber& fiber = *running_fiber;
    current_launch->kernel->run_thread(&fiber.thread, current_launch->parameters.data());
    leave_for_good(fiber);
}

static char* stack_of(size_t slot) {
    while (stacks.size() <= slot) {
        void* place = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED) abort();
        mprotect(place, PAGE, PROT_NONE);  // a stack that is too small ends the process, and hurts no neighbour
        stacks.push_back((char*)place);
    }
    return stacks[slot];
}

static void prepare_stack(Fiber& fiber, size_t slot) {
    uint64_t* top = (uint64_t*)(stack_of(slot) + STACK_BYTES - 64);
    *--top = 0;
    *--top = (uint64_t)fiber_begins;
    for (int k = 0; k < 6; k++) *--top = 0;  // the saved registers
    fiber.stack_pointer = top;
}

// ---- blocks
static void prepare_block(RunningBlock& running, uint32_t index, size_t first_slot) {
    const uint32_t *grid = current_launch->blocks, *size = current_launch->threads;
    const Kernel& kernel = *current_launch->kernel;
    size_t n = (size_t)size[0] * size[1] * size[2], shared_bytes = kernel.shared_bytes + current_launch->dynamic_bytes;
    running.index = index;
    running.shared.assign(shared_bytes + 128, (char)0xff);
    char* shared = (char*)(((uint64_t)running.shared.data() + 127) & ~127ull);
    running.shared_written.assign(shared_bytes + 4, 0);
    if (settings.races) running.shared_history.assign(shared_bytes / 4 + 1, WordHistory{});
    if (settings.races) running.shared_statements.resize(shared_bytes / 4 + 1);
    running.block = {index % grid[0], index / grid[0] % grid[1], index / grid[0] / grid[1],
                     size[0], size[1], size[2], grid[0], grid[1], grid[2], shared};
    running.local.resize(n * kernel.local_bytes + 16);
    running.local_written.resize(n * kernel.local_bytes + 16);
    char* local = (char*)(((uint64_t)running.local.data() + 15) & ~15ull);
    running.fibers.assign(n, Fiber{});
    for (uint32_t t = 0; t < n; t++) {
        Fiber& fiber = running.fibers[t];
        fiber.running = &running;
        fiber.thread = {t % size[0], t / size[0] % size[1], t / size[0] / size[1], t, &running.block,
                        local + (size_t)t * kernel.local_bytes,
                        running.local_written.data() + (size_t)t * kernel.local_bytes, 0};
        prepare_stack(fiber, first_slot + t);
    }
}

// ---- the scheduler
// Runs the threads of a warp that can run; returns whether any could.
static bool run_warp(RunningBlock& running, size_t first) {
    size_t n = std::min<size_t>(WARP, running.fibers.size() - first), lanes[WARP];
    for (size_t k = 0; k < n; k++) lanes[k] = settings.order == Order::backward ? n - 1 - k : k;
    if (settings.order == Order::random) std::shuffle(lanes, lanes + n, chance);
    bool progress = false;
    for (size_t k = 0; k < n && failed_with() == CUDA_SUCCESS; k++) {
        Fiber& fiber = running.fibers[first + lanes[k]];
        if (fiber.state != Fiber::ready) continue;
        progress = true;
        if (settings.order == Order::random && chance() % 4 == 0) continue;  // others run ahead of it
        running_fiber = &fiber;
        switch_stack(&scheduler_stack, fiber.stack_pointer);
    }
    return progress;
}

struct Warp { RunningBlock* running; size_t first; };

static CUresult run_blocks(std::vector<std::unique_ptr<RunningBlock>>& blocks) {
    std::vector<Warp> warps;
    for (auto& running : blocks)
        for (size_t first = 0; first < running->fibers.size(); first += WARP) warps.push_back({running.get(), first});
    if (settings.order == Order::backward) std::reverse(warps.begin(), warps.end());
    for (;;) {
        if (settings.order == Order::random) std::shuffle(warps.begin(), warps.end(), chance);
        bool progress = false;
        for (Warp& warp : warps) {
            bool again;
            do {
                again = run_warp(*warp.running, warp.first);
                if (failed_with() != CUDA_SUCCESS) return failed_with();
                again |= release_warp(*warp.running, warp.first);
                progress |= again;
            } while (again && settings.order != Order::random);
        }
        for (auto& running : blocks) progress |= release_block(*running);
        if (failed_with() == CUDA_SUCCESS && release_grid(blocks)) {
            current_era++;
            progress = true;
        }
        if (failed_with() != CUDA_SUCCESS) return failed_with();
        if (progress) continue;
        return all_ended(blocks) ? CUDA_SUCCESS : explain_deadlock(blocks);
    }
}

CUresult run(Launch& wanted) {
    current_launch = &wanted;
    current_era++;
    forget_fault();
    chance.seed(settings.seed + current_era);
    uint32_t n = wanted.blocks[0] * wanted.blocks[1] * wanted.blocks[2];
    size_t threads = (size_t)wanted.threads[0] * wanted.threads[1] * wanted.threads[2];
    if (wanted.cooperative && n > (uint32_t)settings.multiprocessors) return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    std::vector<uint32_t> order(n);
    for (uint32_t k = 0; k < n; k++) order[k] = settings.order == Order::backward ? n - 1 - k : k;
    if (settings.order == Order::random) std::shuffle(order.begin(), order.end(), chance);
    std::vector<std::unique_ptr<RunningBlock>> together;
    for (uint32_t k = 0; k < (wanted.cooperative ? n : 1); k++) together.push_back(std::make_unique<RunningBlock>());
    CUresult result = CUDA_SUCCESS;
    for (uint32_t k = 0; k < n && result == CUDA_SUCCESS; k += (uint32_t)together.size()) {
        for (size_t j = 0; j < together.size(); j++)
            prepare_block(*together[j], wanted.cooperative ? (uint32_t)j : order[k], j * threads);
        result = run_blocks(together);
    }
    return result;
}
