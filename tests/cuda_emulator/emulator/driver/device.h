/* What translated kernels (C) and the stand-in for the driver (C++) know of each other. */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC visibility push(default)
#endif

typedef struct Block {
    uint32_t x, y, z;                           /* the block's place in the grid */
    uint32_t threads_x, threads_y, threads_z;   /* its size */
    uint32_t blocks_x, blocks_y, blocks_z;      /* the grid's size */
    char* shared;                               /* its shared memory */
} Block;

typedef struct Thread {
    uint32_t x, y, z;    /* the thread's place in its block */
    uint32_t number;     /* the same as one number */
    Block* block;
    char* local;         /* its local memory: `local_bytes` of the kernel */
    uint8_t* written;    /* for each byte of it, whether it was written */
    uint32_t local_used; /* bytes of it in use */
} Thread;

/* The description of a kernel: what its shared object exports as `emulated_kernel`. */
typedef struct { uint32_t offset, bytes; const char* name; } SharedArray; /* of 0 bytes: as large as the launch says */
typedef struct { uint64_t address; uint32_t bytes; int is_const; const char* name; } Symbol;
typedef struct { const char* text; const char* source; } Statement;
typedef struct {
    void (*run_thread)(Thread*, char** parameters);
    int shared_bytes, local_bytes;
    int n_parameters;
    const int* parameter_bytes;
    int n_shared;
    const SharedArray* shared;
    int n_symbols;
    const Symbol* symbols;
    const Statement* statements;
} Kernel;

/* Every access to memory is announced; one that is wrong ends the kernel, and the call does not return.
   STRONG: atomic, volatile and the like, which never race with each other. UNUSED: a bit for each byte that is loaded
   into a register that nothing reads, as the end of a vector is: nobody needs to have written it. */
enum { READ = 1, WRITE = 2, STRONG = 4 };
#define UNUSED(bytes) ((bytes) << 8)
enum { SPACE_GENERIC, SPACE_GLOBAL, SPACE_SHARED, SPACE_LOCAL, SPACE_CONST, SPACE_NONE };
void emu_access(Thread*, uint64_t address, int bytes, int how, int space, int statement);
int emu_space(Thread*, uint64_t address);

/* A function begins with local memory of its own, filled with 0xFF, and gives it back at its end. */
char* emu_enter(Thread*, uint32_t bytes);
void emu_leave(Thread*, uint32_t used_before);

/* Meeting points. Questions of a barrier: whether all, whether any, and how many threads say yes. */
enum { ASK_NOTHING, ASK_AND, ASK_OR, ASK_POPC };
uint32_t emu_barrier(Thread*, uint32_t name, int question, int answer, int statement);
void emu_warp_barrier(Thread*, uint32_t mask, int statement);
void emu_grid_handle(Thread*, char* handle, char* scope, int statement);
void emu_grid_barrier(Thread*, char* result, char* handle, char* flags, int statement);

/* What the lanes of a warp tell each other. */
enum { SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BFLY, SHUFFLE_IDX };
enum { VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT };
uint32_t emu_shuffle(Thread*, int mode, uint32_t value, uint32_t lane, uint32_t limits, uint32_t mask, int* found,
                     int statement);
uint32_t emu_vote(Thread*, int mode, int answer, uint32_t mask, int statement);

/* Ends the kernel with a message. */
void emu_fail(Thread*, const char* what, int statement);

#ifdef __cplusplus
#pragma GCC visibility pop
}
#endif
