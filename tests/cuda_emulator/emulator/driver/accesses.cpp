// Checks of every access to memory: bounds, alignment, values that nobody wrote, and races.
#include <cstring>

#include "emulator.h"

static std::string bytes_text(int bytes) { return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes"); }

static std::string verb(int how) {
    return (how & READ) && (how & WRITE) ? "atomic access" : how & WRITE ? "write" : "read";
}

// ---- where an address lies
static bool is_in_shared_array(uint64_t offset, int bytes) {
    const Kernel& kernel = *current_launch->kernel;
    for (int k = 0; k < kernel.n_shared; k++) {
        const SharedArray& array = kernel.shared[k];
        uint32_t size = array.bytes ? array.bytes : current_launch->dynamic_bytes;
        if (offset >= array.offset && offset + (uint32_t)bytes <= (uint64_t)array.offset + size) return true;
    }
    return false;
}

static const Symbol* symbol_at(uint64_t address, int bytes) {
    const Kernel& kernel = *current_launch->kernel;
    for (int k = 0; k < kernel.n_symbols; k++) {
        const Symbol& symbol = kernel.symbols[k];
        if (address >= symbol.address && address + (uint32_t)bytes <= symbol.address + symbol.bytes) return &symbol;
    }
    return nullptr;
}

int emu_space(Thread* thread, uint64_t address) {
    const Fiber& fiber = fiber_of(thread);
    if (is_device_address(address)) return SPACE_GLOBAL;
    uint64_t shared = (uint64_t)fiber.running->block.shared;
    if (address >= shared && address < shared + fiber.running->shared_written.size()) return SPACE_SHARED;
    if (address >= (uint64_t)thread->local && address < (uint64_t)thread->local + current_launch->kernel->local_bytes)
        return SPACE_LOCAL;
    const Symbol* symbol = symbol_at(address, 1);
    return !symbol ? SPACE_NONE : symbol->is_const ? SPACE_CONST : SPACE_GLOBAL;
}

// ---- races
static const char* conflict_text(int how, bool was_write) {
    if (how & WRITE) return was_write ? "writes what" : "overwrites what";
    return "reads what";
}

// Whether an earlier access is by another thread, of the same bytes, and not ordered before this one by a barrier.
static bool is_race(const Access& earlier, const Fiber& fiber, uint8_t bytes, bool strong, bool is_shared) {
    if (earlier.era != current_era || !(earlier.bytes & bytes) || (earlier.strong && strong)) return false;
    if (earlier.reach == Access::several_blocks) return true;
    if (earlier.block != fiber.running->index) return !is_shared;  // shared memory of a block that has ended
    if (earlier.barriers != fiber.barriers) return false;
    if (earlier.reach == Access::several_warps || earlier.warp != fiber.thread.number / WARP) return true;
    uint32_t own = 1u << fiber.thread.number % WARP;
    for (uint32_t others = earlier.lanes & ~own; others; others &= others - 1)
        if (fiber.known[__builtin_ctz(others)] <= earlier.clock) return true;
    return false;
}

static Access access_of(const Fiber& fiber, uint8_t bytes, bool strong, int statement) {
    uint32_t lane = fiber.thread.number % WARP;
    return {current_era, fiber.running->index, fiber.barriers, fiber.clock, 1u << lane, statement,
            (uint16_t)(fiber.thread.number / WARP), Access::one_warp, bytes, strong};
}

// Adds a read to those that are remembered; reads that are ordered before it need not be kept.
static void remember_read(Access& kept, const Fiber& fiber, const Access& now, bool is_shared) {
    bool is_stale = kept.era != now.era || !(kept.bytes & now.bytes) || (is_shared && kept.block != now.block);
    if (!is_stale && kept.reach == Access::several_blocks) {
        // nothing to add
    } else if (!is_stale && kept.block != now.block) {
        kept.reach = Access::several_blocks;
    } else if (is_stale || kept.barriers != now.barriers) {
        kept = now;
        return;
    } else if (kept.reach == Access::several_warps || kept.warp != now.warp) {
        kept.reach = Access::several_warps;
    } else {
        uint32_t unordered = 0;
        for (uint32_t lanes = kept.lanes & ~now.lanes; lanes; lanes &= lanes - 1)
            if (fiber.known[__builtin_ctz(lanes)] <= kept.clock) unordered |= lanes & -lanes;
        uint32_t clock = unordered && kept.clock < now.clock ? kept.clock : now.clock;
        kept.lanes = unordered | now.lanes;
        kept.clock = clock;
    }
    kept.bytes |= now.bytes;
    kept.strong &= now.strong;
}

[[noreturn]] static void report_race(Fiber& fiber, const Access& other, bool was_write, int how, bool is_shared,
                                     int statement) {
    std::string where = is_shared ? "shared memory" : "global memory";
    std::string others = other.block == fiber.running->index ? "another thread" : "another block";
    fault(fiber, CUDA_ERROR_LAUNCH_FAILED,
          "race in " + where + ": " + conflict_text(how, was_write) + " " + others +
              (was_write ? " has written at " : " has read at ") + describe_statement(other.statement) +
              ", with no barrier between",
          statement);
}

static void check_race(Fiber& fiber, WordHistory* history, uint64_t address, int bytes, int how, bool is_shared,
                       int statement) {
    bool strong = how & STRONG;
    for (int done = 0; done < bytes; history++) {
        int first = (int)((address + (uint64_t)done) % 4), here = bytes - done < 4 - first ? bytes - done : 4 - first;
        uint8_t mask = (uint8_t)(((1u << here) - 1) << first);
        done += here;
        if (is_race(history->written, fiber, mask, strong, is_shared))
            report_race(fiber, history->written, true, how, is_shared, statement);
        Access now = access_of(fiber, mask, strong, statement);
        if (!(how & WRITE)) {
            remember_read(history->read, fiber, now, is_shared);
            continue;
        }
        if (is_race(history->read, fiber, mask, strong, is_shared))
            report_race(fiber, history->read, false, how, is_shared, statement);
        history->written = now;
        if (!(history->read.bytes & ~mask)) history->read.era = 0;
    }
}

// ---- the checks in turn
static inline void check_written(Fiber& fiber, uint8_t* flags, int bytes, int how, const char* where, int statement) {
    uint32_t four = 0;
    if (bytes == 4) memcpy(&four, flags, 4);
    if ((how & READ) && four != 0x01010101)
        for (int k = 0; k < bytes; k++)
            if (!flags[k] && !(how >> 8 >> k & 1))
                fault(fiber, CUDA_ERROR_LAUNCH_FAILED,
                      "read of " + std::string(where) + " memory that was never written", statement);
    if (how & WRITE) memset(flags, 1, (size_t)bytes);
}

[[noreturn]] static void out_of_bounds(Fiber& fiber, int bytes, int how, const std::string& where, int statement) {
    fault(fiber, CUDA_ERROR_ILLEGAL_ADDRESS, "out of bounds: " + verb(how) + " of " + bytes_text(bytes) + " " + where,
          statement);
}

static std::string near_allocation(uint64_t address) {
    const Allocation* near = allocation_near(address);
    if (!near) return "before all arrays in global memory";
    uint64_t offset = address - near->begin;
    if (offset > near->bytes + (1 << 20)) return "far from every array in global memory";
    return "at byte " + std::to_string(offset) + " of an array of " + std::to_string(near->bytes) +
           " bytes in global memory";
}

void emu_access(Thread* thread, uint64_t address, int bytes, int how, int space, int statement) {
    Fiber& fiber = fiber_of(thread);
    RunningBlock& running = *fiber.running;
    if (address % (uint64_t)bytes)
        fault(fiber, CUDA_ERROR_MISALIGNED_ADDRESS,
              "misaligned " + verb(how) + " of " + bytes_text(bytes) + ", " + std::to_string(address % (uint64_t)bytes) +
                  " beyond a multiple of them",
              statement);
    if (space == SPACE_GENERIC) space = emu_space(thread, address);
    if (space == SPACE_GLOBAL && is_allocated(address, (size_t)bytes)) {
        if (settings.races) check_race(fiber, history_of(address), address, bytes, how, false, statement);
        check_written(fiber, written_flags(address), bytes, how, "global", statement);
    } else if (space == SPACE_SHARED) {
        uint64_t offset = address - (uint64_t)running.block.shared;
        if (!is_in_shared_array(offset, bytes))
            out_of_bounds(fiber, bytes, how,
                          "at byte " + std::to_string((int64_t)offset) + " of shared memory, outside its arrays", statement);
        if (settings.races)
            check_race(fiber, &running.shared_history[offset / 4], offset, bytes, how, true, statement);
        check_written(fiber, &running.shared_written[offset], bytes, how, "shared", statement);
    } else if (space == SPACE_LOCAL) {
        uint64_t offset = address - (uint64_t)thread->local;
        if (offset + (uint64_t)bytes > thread->local_used)
            out_of_bounds(fiber, bytes, how, "outside the thread's local arrays", statement);
        check_written(fiber, thread->written + offset, bytes, how, "local", statement);
    } else {
        const Symbol* symbol = symbol_at(address, bytes);
        if (!symbol) out_of_bounds(fiber, bytes, how, near_allocation(address), statement);
        if (symbol->is_const && (how & WRITE))
            fault(fiber, CUDA_ERROR_ILLEGAL_ADDRESS, "write to constant memory", statement);
    }
}

char* emu_enter(Thread* thread, uint32_t bytes) {
    uint32_t begin = (thread->local_used + 15) & ~15u;
    if (begin + bytes > (uint32_t)current_launch->kernel->local_bytes)
        fault(fiber_of(thread), CUDA_ERROR_LAUNCH_FAILED, "a function calls itself", 0);
    memset(thread->local + begin, 0xff, bytes);
    memset(thread->written + begin, 0, bytes);
    thread->local_used = begin + bytes;
    return thread->local + begin;
}

void emu_leave(Thread* thread, uint32_t used_before) { thread->local_used = used_before; }
