// Reads the environment when the library is loaded; README.md lists the names.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "emulator.h"

static int number_from(const char* name, int otherwise) {
    const char* text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

static Settings read_settings() {
    Settings found{Order::forward, 1, number_from("FREEWALK_EMULATOR_RACES", 1) != 0,
                   number_from("FREEWALK_EMULATOR_MULTIPROCESSORS", 6)};
    const char* order = getenv("FREEWALK_EMULATOR_ORDER");
    if (!order || !*order || !strcmp(order, "forward")) return found;
    if (!strcmp(order, "backward")) {
        found.order = Order::backward;
    } else if (!strncmp(order, "random", 6)) {
        found.order = Order::random;
        if (order[6] == ':') found.seed = (unsigned)atoi(order + 7);
    } else {
        fprintf(stderr, "CUDA emulator: FREEWALK_EMULATOR_ORDER is forward, backward, random or random:SEED, not %s\n", order);
        exit(2);
    }
    return found;
}

const Settings settings = read_settings();
