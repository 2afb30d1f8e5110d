// Device memory: one large range of addresses, of which nothing is used twice, so that a freed array stays out of bounds.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "emulator.h"

static constexpr size_t ARENA_BYTES = 1ull << 38, GRANULE = 256, GAP = 512, PAGE = 4096;
static constexpr uint8_t NEVER_WRITTEN = 0xff;  // a NaN as a float, -1 as an integer

static char* arena = nullptr;
static uint8_t* arena_written = nullptr;
static WordHistory* arena_history = nullptr;
static WordStatements* arena_statements = nullptr;
static uint32_t* owners = nullptr;  // for each granule of the arena, which allocation it belongs to, and one
static size_t used = 0, allocated = 0;
static std::vector<Allocation> allocations;      // also those that were freed: of 0 bytes
static std::map<uint64_t, uint32_t> by_address;  // those that there are

// Reserves addresses; memory comes with the first use of a page.
static void* reserve(size_t bytes) {
    void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return place == MAP_FAILED ? nullptr : place;
}

static void give_back(void* begin, size_t bytes) {
    uint64_t first = ((uint64_t)begin + PAGE - 1) & ~(PAGE - 1), last = ((uint64_t)begin + bytes) & ~(PAGE - 1);
    if (first < last) madvise((void*)first, last - first, MADV_DONTNEED);
}

CUresult allocate(uint64_t* address, size_t bytes) {
    if (!arena) {
        arena = (char*)reserve(ARENA_BYTES);
        arena_written = (uint8_t*)reserve(ARENA_BYTES);
        arena_history = (WordHistory*)reserve(ARENA_BYTES / 4 * sizeof(WordHistory));
        arena_statements = (WordStatements*)reserve(ARENA_BYTES / 4 * sizeof(WordStatements));
        owners = (uint32_t*)reserve(ARENA_BYTES / GRANULE * sizeof(uint32_t));
        if (!arena || !arena_written || !arena_history || !arena_statements || !owners) return CUDA_ERROR_OUT_OF_MEMORY;
    }
    size_t with_gap = (bytes + GRANULE - 1) / GRANULE * GRANULE + GAP;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (allocated + bytes > DEVICE_BYTES || used + with_gap > ARENA_BYTES) return CUDA_ERROR_OUT_OF_MEMORY;
    *address = (uint64_t)arena + used;
    by_address[*address] = (uint32_t)allocations.size();
    allocations.push_back({*address, bytes});
    std::fill_n(owners + used / GRANULE, (bytes + GRANULE - 1) / GRANULE, (uint32_t)allocations.size());
    used += with_gap;
    allocated += bytes;
    // the shadow says that nothing was written; the filling makes a number of it that shows
    if (bytes < 64u << 20) memset((void*)*address, NEVER_WRITTEN, bytes);
    return CUDA_SUCCESS;
}

CUresult release(uint64_t address) {
    auto found = by_address.find(address);
    if (found == by_address.end()) return CUDA_ERROR_INVALID_VALUE;
    size_t& bytes = allocations[found->second].bytes;
    allocated -= bytes;
    give_back((void*)address, bytes);
    give_back(written_flags(address), bytes);
    give_back(history_of(address), bytes / 4 * sizeof(WordHistory));
    give_back(statements_of(address), bytes / 4 * sizeof(WordStatements));
    bytes = 0;
    by_address.erase(found);
    return CUDA_SUCCESS;
}

size_t allocated_bytes() { return allocated; }

const Allocation* allocation_near(uint64_t address) {
    auto next = by_address.upper_bound(address);
    return next == by_address.begin() ? nullptr : &allocations[std::prev(next)->second];
}

bool is_allocated(uint64_t address, size_t bytes) {
    if (!is_device_address(address)) return false;
    uint32_t owner = owners[(address - (uint64_t)arena) / GRANULE];
    return owner && address + bytes <= allocations[owner - 1].begin + allocations[owner - 1].bytes;
}

bool is_device_address(uint64_t address) {
    return arena && address >= (uint64_t)arena && address < (uint64_t)arena + ARENA_BYTES;
}

uint8_t* written_flags(uint64_t address) { return arena_written + (address - (uint64_t)arena); }

WordHistory* history_of(uint64_t address) { return arena_history + (address - (uint64_t)arena) / 4; }

WordStatements* statements_of(uint64_t address) { return arena_statements + (address - (uint64_t)arena) / 4; }
