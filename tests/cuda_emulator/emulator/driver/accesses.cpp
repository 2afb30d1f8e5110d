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

// Whether a thread has met a lane of its warp since that lane's clock showed `clock`.
static bool has_met(const Fiber& fiber, int lane, uint16_t clock) { return (int16_t)(fiber.known[lane] - clock) > 0; }

// Whether an earlier access is by another thread, of the same bytes, and not ordered before this one by a barrier.
static bool is_race(const Access& earlier, const Access& now, const Fiber& fiber, bool is_shared) {
    if (earlier.era != now.era || !(earlier.bytes & now.bytes) || (earlier.is_strong && now.is_strong)) return false;
    if (earlier.reach == Access::several_blocks) return true;
    if (earlier.block != now.block) return !is_shared;  // shared memory of a block that has ended
    if (earlier.barriers != now.barriers) return false;
    if (earlier.reach == Access::several_warps || earlier.warp != now.warp) return true;
    for (uint32_t others = earlier.lanes & ~now.lanes; others; others &= others - 1)
        if (!has_met(fiber, __builtin_ctz(others), earlier.clock)) return true;
    return false;
}

// Adds a read to those that are remembered; reads that are ordered before it need not be kept.
static void remember_read(WordHistory& history, WordStatements& statements, const Access& now, const Fiber& fiber,
                          bool is_shared, int statement) {
    Access& kept = history.read;
    bool is_stale = kept.era != now.era || !(kept.bytes & now.bytes) || (is_shared && kept.block != now.block);
    bool is_of_block = kept.block == now.block;
    if (is_stale || (kept.reach != Access::several_blocks && is_of_block && kept.barriers != now.barriers)) {
        kept = now;
        statements.read = statement;
        return;
    }
    if (kept.reach != Access::several_blocks && !is_of_block) kept.reach = Access::several_blocks;
    if (kept.reach == Access::one_warp && kept.warp != now.warp) kept.reach = Access::several_warps;
    if (kept.reach == Access::one_warp && kept.lanes != now.lanes) {
        uint32_t unordered = 0;
        for (uint32_t lanes = kept.lanes & ~now.lanes; lanes; lanes &= lanes - 1)
            if (!has_met(fiber, __builtin_ctz(lanes), kept.clock)) unordered |= lanes & -lanes;
        if (!unordered || (int16_t)(kept.clock - now.clock) > 0) kept.clock = now.clock;
        kept.lanes = unordered | now.lanes;
    } else if (kept.reach == Access::one_warp) {
        kept.clock = now.clock;
    }
    if ((kept.bytes | now.bytes) != kept.bytes) kept.bytes |= now.bytes;
    if (kept.is_strong && !now.is_strong) kept.is_strong = 0;
}

[[noreturn]] static void report_race(Fiber& fiber, const Access& other, bool was_write, int other_statement, int how,
                                     bool is_shared, int statement) {
    std::string where = is_shared ? "shared memory" : "global memory";
    std::string others = other.block == fiber.running->index ? "another thread" : "another block";
    fault(fiber, CUDA_ERROR_LAUNCH_FAILED,
          "race in " + where + ": " + conflict_text(how, was_write) + " " + others +
              (was_write ? " has written at " : " has read at ") + describe_statement(other_statement) +
              ", with no barrier between",
          statement);
}

static void check_race(Fiber& fiber, WordHistory* history, WordStatements* statements, uint32_t first, int bytes, int how,
                       bool is_shared, int statement) {
    Access now{current_era, fiber.running->index, fiber.thread.number / WARP, Access::one_warp, 0, (how & STRONG) != 0,
               1u << fiber.thread.number % WARP, fiber.barriers, fiber.clock};
    for (uint32_t end = first + (uint32_t)bytes; first < end; first = (first | 3) + 1, history++, statements++) {
        uint32_t here = end - first < 4 - first % 4 ? end - first : 4 - first % 4;
        now.bytes = ((1u << here) - 1) << first % 4;
        if (is_race(history->written, now, fiber, is_shared))
            report_race(fiber, history->written, true, statements->written, how, is_shared, statement);
        if (!(how & WRITE)) {
            remember_read(*history, *statements, now, fiber, is_shared, statement);
            continue;
        }
        if (is_race(history->read, now, fiber, is_shared))
            report_race(fiber, history->read, false, statements->read, how, is_shared, statement);
        history->written = now;
        statements->written = statement;
        if (!(history->read.bytes & ~now.bytes)) history->read.era = 0;
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
        if (settings.races) check_race(fiber, history_of(address), statements_of(address), (uint32_t)(address % 4), bytes, how, false, statement);
        check_written(fiber, written_flags(address), bytes, how, "global", statement);
    } else if (space == SPACE_SHARED) {
        uint64_t offset = address - (uint64_t)running.block.shared;
        if (!is_in_shared_array(offset, bytes))
            out_of_bounds(fiber, bytes, how,
                          "at byte " + std::to_string((int64_t)offset) + " of shared memory, outside its arrays", statement);
        if (settings.races)
            check_race(fiber, &running.shared_history[offset / 4], &running.shared_statements[offset / 4],
                       (uint32_t)(offset % 4), bytes, how, true, statement);
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
