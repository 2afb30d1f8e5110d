// Messages: one line for each fault, on stderr, that names the kernel, the thread and the statement.
#include <cxxabi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "emulator.h"

static CUresult failure = CUDA_SUCCESS;
static std::string message;

CUresult failed_with() { return failure; }
void forget_fault() { failure = CUDA_SUCCESS; }

// The message of the latest fault, for the exception that Python raises.
extern "C" __attribute__((visibility("default"))) const char* emulator_message() { return message.c_str(); }

static std::string place(uint32_t x, uint32_t y, uint32_t z) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

std::string describe(const Fiber& fiber) {
    const Thread& thread = fiber.thread;
    const Block& block = *thread.block;
    return "thread " + place(thread.x, thread.y, thread.z) + " of block " + place(block.x, block.y, block.z);
}

std::string describe_statement(int statement) {
    const Statement& found = current_launch->kernel->statements[statement];
    std::string text = "`" + std::string(found.text) + "`";
    return *found.source ? text + " (" + found.source + ")" : text;
}

// numba mangles module, function and argument types: the function's own name says enough.
std::string short_name(const char* mangled) {
    int status = 0;
    char* demangled = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
    std::string name = status == 0 && demangled ? demangled : mangled;
    free(demangled);
    name = name.substr(0, std::min(name.find('('), name.find("[abi:")));
    size_t last = name.rfind("::");
    return last == std::string::npos ? name : name.substr(last + 2);
}

CUresult fault_of_launch(CUresult code, const std::string& what) {
    if (failure == CUDA_SUCCESS) {
        failure = code;
        message = "kernel " + current_launch->name + ": " + what;
        fprintf(stderr, "CUDA emulator: %s\n", message.c_str());
        fflush(stderr);
    }
    return failure;
}

void fault(Fiber& fiber, CUresult code, const std::string& what, int statement) {
    fault_of_launch(code, what + ", by " + describe(fiber) + " at " + describe_statement(statement));
    leave_for_good(fiber);
}

void emu_fail(Thread* thread, const char* what, int statement) {
    fault(fiber_of(thread), CUDA_ERROR_LAUNCH_FAILED, what, statement);
}
