/* What single instructions of PTX compute, for translated kernels. x86-64 only: rounding modes are bits of MXCSR. */
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "device.h"

/* Registers hold bits; these look at them as numbers. */
static inline float as_f32(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline double as_f64(uint64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline uint32_t bits_of_f32(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
static inline uint64_t bits_of_f64(double x) { uint64_t bits; memcpy(&bits, &x, 8); return bits; }

/* .ftz: a subnormal float is a zero of its sign. */
static inline float flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }

/* .sat: between 0 and 1, and 0 for a NaN. */
#define saturated(x) ((x) >= 0 ? ((x) > 1 ? 1 : (x)) : 0)

/* rcp.approx.ftz.f64: only the upper 32 bits are read and written. */
static inline double rough_reciprocal(double x) {
    double upper = as_f64(bits_of_f64(x) & 0xffffffff00000000ull);
    if (fpclassify(upper) == FP_SUBNORMAL) upper = copysign(0, upper);
    double y = as_f64(bits_of_f64(1 / upper) & 0xffffffff00000000ull);
    return fpclassify(y) == FP_SUBNORMAL ? copysign(0, y) : y;
}

/* min and max: a NaN gives way to a number unless it is to win, and -0 is less than +0. */
#define SMALLER_AND_LARGER(name, type)                                                              \
    static inline type min_##name(type x, type y, int nan_wins) {                                   \
        if (isnan(x) || isnan(y)) return nan_wins || (isnan(x) && isnan(y)) ? (type)NAN : isnan(x) ? y : x; \
        return x == y ? (signbit(x) ? x : y) : x < y ? x : y;                                       \
    }                                                                                               \
    static inline type max_##name(type x, type y, int nan_wins) {                                   \
        if (isnan(x) || isnan(y)) return nan_wins || (isnan(x) && isnan(y)) ? (type)NAN : isnan(x) ? y : x; \
        return x == y ? (signbit(x) ? y : x) : x > y ? x : y;                                       \
    }
SMALLER_AND_LARGER(f32, float)
SMALLER_AND_LARGER(f64, double)

/* Rounding modes other than to the nearest. Volatile variables keep the arithmetic between the two changes of mode. */
enum { ROUND_DOWN = 0x2000, ROUND_UP = 0x4000, ROUND_TO_ZERO = 0x6000 };
#define DIRECTED(function, result_type, type, n_arguments, expression)            \
    static inline result_type function(int mode, ARGUMENTS_##n_arguments(type)) { \
        volatile type x = x_;                                                     \
        OTHERS_##n_arguments(type);                                               \
        unsigned before = _mm_getcsr();                                           \
        _mm_setcsr((before & ~0x6000u) | (unsigned)mode);                         \
        volatile result_type result = (expression);                               \
        _mm_setcsr(before);                                                       \
        return result;                                                            \
    }
#define ARGUMENTS_1(type) type x_
#define ARGUMENTS_2(type) type x_, type y_
#define ARGUMENTS_3(type) type x_, type y_, type z_
#define OTHERS_1(type)
#define OTHERS_2(type) volatile type y = y_
#define OTHERS_3(type) volatile type y = y_, z = z_
#define DIRECTED_ARITHMETIC(name, type, fma_of, root_of)      \
    DIRECTED(directed_add_##name, type, type, 2, x + y)       \
    DIRECTED(directed_sub_##name, type, type, 2, x - y)       \
    DIRECTED(directed_mul_##name, type, type, 2, x * y)       \
    DIRECTED(directed_div_##name, type, type, 2, x / y)       \
    DIRECTED(directed_fma_##name, type, type, 3, fma_of(x, y, z)) \
    DIRECTED(directed_sqrt_##name, type, type, 1, root_of(x)) \
    DIRECTED(directed_rcp_##name, type, type, 1, 1 / x)
DIRECTED_ARITHMETIC(f32, float, fmaf, sqrtf)
DIRECTED_ARITHMETIC(f64, double, fma, sqrt)
#define DIRECTED_CONVERSION(name, type)                           \
    DIRECTED(directed_##name##_to_f32, float, type, 1, (float)x)  \
    DIRECTED(directed_##name##_to_f64, double, type, 1, (double)x)
DIRECTED_CONVERSION(f32, float)
DIRECTED_CONVERSION(f64, double)
DIRECTED_CONVERSION(u8, uint8_t)
DIRECTED_CONVERSION(u16, uint16_t)
DIRECTED_CONVERSION(u32, uint32_t)
DIRECTED_CONVERSION(s8, int8_t)
DIRECTED_CONVERSION(s16, int16_t)
DIRECTED_CONVERSION(s32, int32_t)
DIRECTED_CONVERSION(s64, int64_t)
/* There may be no instruction for a number of 64 bits without sign: its half, with the lost bit kept in the last. */
static inline float directed_u64_to_f32(int mode, uint64_t x) {
    return x >> 63 ? 2 * directed_s64_to_f32(mode, (int64_t)(x >> 1 | (x & 1))) : directed_s64_to_f32(mode, (int64_t)x);
}
static inline double directed_u64_to_f64(int mode, uint64_t x) {
    return x >> 63 ? 2 * directed_s64_to_f64(mode, (int64_t)(x >> 1 | (x & 1))) : directed_s64_to_f64(mode, (int64_t)x);
}

/* Conversions into an integer's range: of a float that is whole already, and of an integer. */
#define CLAMPED(name, type, lowest, highest)                                      \
    static inline type clamped_##name(double x, uint64_t nan) {                   \
        if (isnan(x)) return (type)nan;                                           \
        return x <= (double)(lowest) ? (lowest) : x >= (double)(highest) ? (highest) : (type)x; \
    }                                                                             \
    static inline type clamp_##name(__int128 x) {                                 \
        return x < (__int128)(lowest) ? (lowest) : x > (__int128)(highest) ? (highest) : (type)x; \
    }
CLAMPED(u8, uint8_t, 0, UINT8_MAX)
CLAMPED(u16, uint16_t, 0, UINT16_MAX)
CLAMPED(u32, uint32_t, 0, UINT32_MAX)
CLAMPED(u64, uint64_t, 0, UINT64_MAX)
CLAMPED(s8, int8_t, INT8_MIN, INT8_MAX)
CLAMPED(s16, int16_t, INT16_MIN, INT16_MAX)
CLAMPED(s32, int32_t, INT32_MIN, INT32_MAX)
CLAMPED(s64, int64_t, INT64_MIN, INT64_MAX)

/* brev */
static inline uint64_t reverse_bits(uint64_t x, int width) {
    uint64_t reversed = 0;
    for (int k = 0; k < width; k++) reversed |= (x >> k & 1) << (width - 1 - k);
    return reversed;
}

/* bfe: bits beyond the width are copies of the sign; `x` has it in all upper bits if it is signed. */
static inline uint64_t extract_field(uint64_t x, uint32_t begin, uint32_t length, int width, int is_signed) {
    begin &= 255, length &= 255;
    uint64_t field = 0, sign = 0;
    if (is_signed && length) {
        uint32_t last = begin + length - 1;
        sign = x >> (last < (uint32_t)width - 1 ? last : (uint32_t)width - 1) & 1;
    }
    for (int k = 0; k < width; k++) {
        int is_inside = (uint32_t)k < length && begin + (uint32_t)k < (uint32_t)width;
        field |= (is_inside ? x >> (begin + (uint32_t)k) & 1 : sign) << k;
    }
    return field;
}

/* bfi */
static inline uint64_t insert_field(uint64_t field, uint64_t into, uint32_t begin, uint32_t length, int width) {
    begin &= 255, length &= 255;
    for (uint32_t k = 0; k < length && begin + k < (uint32_t)width; k++)
        into = (into & ~(1ull << (begin + k))) | (field >> k & 1) << (begin + k);
    return into;
}

/* prmt: each four bits choose one of eight bytes, or copies of its sign. */
static inline uint32_t permute_bytes(uint32_t low, uint32_t high, uint32_t selection) {
    uint64_t both = (uint64_t)high << 32 | low;
    uint32_t result = 0;
    for (int k = 0; k < 4; k++) {
        uint32_t choice = selection >> 4 * k & 15, byte = (uint32_t)(both >> 8 * (choice & 7)) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * k;
    }
    return result;
}
