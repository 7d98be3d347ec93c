/* CUDA's vector types. */
#ifndef SG_TESTS_CUDA_EMULATE_TYPES_H
#define SG_TESTS_CUDA_EMULATE_TYPES_H

#include <stdint.h>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define SG_EMULATED_VECTOR2(name, type)                                                                                \
    struct alignas(2 * sizeof(type)) name {                                                                            \
        type x, y;                                                                                                     \
    };                                                                                                                 \
    static inline name make_##name(type x, type y)                                                                     \
    {                                                                                                                  \
        return name{x, y};                                                                                             \
    }
#define SG_EMULATED_VECTOR4(name, type)                                                                                \
    struct alignas(16) name {                                                                                          \
        type x, y, z, w;                                                                                               \
    };                                                                                                                 \
    static inline name make_##name(type x, type y, type z, type w)                                                     \
    {                                                                                                                  \
        return name{x, y, z, w};                                                                                       \
    }

SG_EMULATED_VECTOR2(float2, float)
SG_EMULATED_VECTOR2(double2, double)
SG_EMULATED_VECTOR2(int2, int)
SG_EMULATED_VECTOR2(uint2, unsigned)
SG_EMULATED_VECTOR2(longlong2, long long)
SG_EMULATED_VECTOR2(ulonglong2, unsigned long long)
SG_EMULATED_VECTOR4(float4, float)
SG_EMULATED_VECTOR4(int4, int)
SG_EMULATED_VECTOR4(uint4, unsigned)

#endif
