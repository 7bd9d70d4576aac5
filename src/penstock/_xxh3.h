/* XXH3, 64 bits, with a seed, of more than 240 bytes: as its specification has it, and `xxhash`. */
#ifndef PENSTOCK_XXH3_H
#define PENSTOCK_XXH3_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are read as they lie in memory"
#endif

enum { STRIPE = 64, LANES = 8, SECRET = 192, STRIPES_IN_BLOCK = (SECRET - STRIPE) / 8 };

static const uint64_t PRIME32_1 = 0x9E3779B1U, PRIME32_2 = 0x85EBCA77U, PRIME32_3 = 0xC2B2AE3DU;
static const uint64_t PRIME64_1 = 0x9E3779B185EBCA87U, PRIME64_2 = 0xC2B2AE3D27D4EB4FU,
                      PRIME64_3 = 0x165667B19E3779F9U, PRIME64_4 = 0x85EBCA77C2B2AE63U,
                      PRIME64_5 = 0x27D4EB2F165667C5U;

static const unsigned char xxh3_secret[SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t read64(const unsigned char *p) {
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint64_t folded(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline void accumulate(uint64_t *sums, const unsigned char *in, const unsigned char *key) {
#ifdef __SSE2__
    for (int i = 0; i < LANES; i += 2) { /* two lanes at once */
        __m128i value = _mm_loadu_si128((const __m128i *)(in + 8 * i));
        __m128i mixed = _mm_xor_si128(value, _mm_loadu_si128((const __m128i *)(key + 8 * i)));
        __m128i high = _mm_shuffle_epi32(mixed, _MM_SHUFFLE(0, 3, 0, 1));
        __m128i other = _mm_shuffle_epi32(value, _MM_SHUFFLE(1, 0, 3, 2));
        __m128i sum = _mm_loadu_si128((const __m128i *)(sums + i));
        sum = _mm_add_epi64(sum, _mm_add_epi64(other, _mm_mul_epu32(mixed, high)));
        _mm_storeu_si128((__m128i *)(sums + i), sum);
    }
#else
    for (int i = 0; i < LANES; i++) {
        uint64_t value = read64(in + 8 * i);
        uint64_t mixed = value ^ read64(key + 8 * i);
        sums[i ^ 1] += value;
        sums[i] += (mixed & 0xFFFFFFFFU) * (mixed >> 32);
    }
#endif
}

/* `size` is over 240. */
static uint64_t xxh3_of(const unsigned char *data, size_t size, uint64_t seed) {
    unsigned char key[SECRET];
    for (int i = 0; i < SECRET; i += 16) {
        uint64_t low = read64(xxh3_secret + i) + seed;
        uint64_t high = read64(xxh3_secret + i + 8) - seed;
        memcpy(key + i, &low, 8);
        memcpy(key + i + 8, &high, 8);
    }
    uint64_t sums[LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                            PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    const unsigned char *end = data + size;
    size_t stripes = (size - 1) / STRIPE;
    const unsigned char *in = data;
    for (size_t n = 0; n < stripes; n++, in += STRIPE) {
        size_t within = n % STRIPES_IN_BLOCK;
        accumulate(sums, in, key + 8 * within);
        if (within == STRIPES_IN_BLOCK - 1) {
            for (int i = 0; i < LANES; i++) {
                uint64_t sum = sums[i] ^ (sums[i] >> 47);
                sums[i] = (sum ^ read64(key + SECRET - STRIPE + 8 * i)) * PRIME32_1;
            }
        }
    }
    accumulate(sums, end - STRIPE, key + SECRET - STRIPE - 7);
    uint64_t hash = (uint64_t)size * PRIME64_1;
    for (int i = 0; i < LANES / 2; i++) {
        hash += folded(sums[2 * i] ^ read64(key + 11 + 16 * i),
                       sums[2 * i + 1] ^ read64(key + 11 + 16 * i + 8));
    }
    hash = (hash ^ (hash >> 37)) * 0x165667919E3779F9U;
    return hash ^ (hash >> 32);
}

#endif
