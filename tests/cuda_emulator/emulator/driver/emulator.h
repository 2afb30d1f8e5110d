// What the parts of the stand-in for the driver share: memory, threads, faults.
#pragma once
#define __CUDA_API_VERSION_INTERNAL  // cuda.h then leaves the names alone: cuMemAlloc_v2 is cuMemAlloc_v2
#include <cuda.h>

#include <cstdint>
#include <string>
#include <vector>

#include "device.h"

constexpr uint32_t WARP = 32;

// ---- settings.cpp: what the environment says
enum class Order { forward, backward, random };
struct Settings {
    Order order;            // in which order threads and blocks run
    unsigned seed;          // of a random order
    bool races;             // whether races are looked for
    int multiprocessors;    // how many blocks a cooperative launch can have
};
extern const Settings settings;

// ---- memory.cpp: device memory, and what is known of each byte and word of it
constexpr size_t DEVICE_BYTES = 80ull << 30;  // what the emulated card says that it has

// One access, or several reads whose differences `reach` and `lanes` tell. Small, since each word of memory has two.
struct Access {
    enum Reach : uint32_t { one_warp, several_warps, several_blocks };
    uint32_t era;             // counts launches and meetings of the grid: accesses of different eras are ordered
    uint32_t block : 20;      // within the launch
    uint32_t warp : 5;
    uint32_t reach : 2;
    uint32_t bytes : 4;       // which bytes of the word
    uint32_t is_strong : 1;
    uint32_t lanes;           // a bit for each lane of the warp
    uint16_t barriers;        // how many barriers of its block the thread had passed; both counters may wrap around
    uint16_t clock;           // how many barriers of its warp
};
struct WordHistory {
    Access written, read;
};
struct WordStatements {
    int32_t written, read;    // where the accesses of the history stand in the code
};
constexpr uint32_t MOST_BLOCKS = 1 << 20;

CUresult allocate(uint64_t* address, size_t bytes);
CUresult release(uint64_t address);
size_t allocated_bytes();
// The allocation that holds an address, or the nearest one before it; null if there is none.
struct Allocation { uint64_t begin; size_t bytes; };
const Allocation* allocation_near(uint64_t address);
bool is_allocated(uint64_t address, size_t bytes);
bool is_device_address(uint64_t address);
uint8_t* written_flags(uint64_t address);      // one for each byte: 1 if it was written
WordHistory* history_of(uint64_t address);     // of the word that holds it
WordStatements* statements_of(uint64_t address);

// ---- threads.cpp: threads as fibers of one thread of the processor
struct RunningBlock;
struct Fiber {
    enum State : uint8_t { ready, at_barrier, at_warp_meeting, at_grid_barrier, ended };
    Thread thread;              // first: translated kernels know its address
    RunningBlock* running;
    void* stack_pointer;
    State state;
    bool is_warp_barrier;       // or a shuffle or vote, which orders no memory
    int statement;              // where it waits
    uint32_t mask_or_name;      // lanes that meet, or the barrier's name
    int question;
    uint32_t answer, result;
    uint32_t lanes[WARP];       // answers of the lanes that have met
    uint16_t barriers, clock;   // see Access
    uint16_t known[WARP];       // the clock of each lane when this one last heard of it
};
struct RunningBlock {
    Block block;
    uint32_t index;
    std::vector<Fiber> fibers;
    std::vector<char> shared, local;
    std::vector<uint8_t> shared_written, local_written;
    std::vector<WordHistory> shared_history;
    std::vector<WordStatements> shared_statements;
};
struct Launch {
    const Kernel* kernel;
    std::string name;
    uint32_t blocks[3], threads[3];
    uint32_t dynamic_bytes;  // of shared memory, beside what the kernel declares
    bool cooperative;
    std::vector<char*> parameters;
};
CUresult run(Launch&);
extern Launch* current_launch;
extern uint32_t current_era;
inline Fiber& fiber_of(Thread* thread) { return *reinterpret_cast<Fiber*>(thread); }

// ---- faults.cpp: the message of what is wrong
// Writes the message and leaves the thread for good; `code` is what the launch then returns.
[[noreturn]] void fault(Fiber&, CUresult code, const std::string& what, int statement);
// The same for what no single thread has done, from the scheduler.
CUresult fault_of_launch(CUresult code, const std::string& what);
CUresult failed_with();       // CUDA_SUCCESS while nothing has failed
void forget_fault();
std::string describe(const Fiber&);
std::string describe_statement(int statement);
std::string short_name(const char* mangled);
[[noreturn]] void leave_for_good(Fiber&);
