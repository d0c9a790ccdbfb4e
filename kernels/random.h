/* Counter-based random numbers: hashes of counters, so that any thread can draw any number by itself. */
#ifndef FASTNN_RANDOM_H
#define FASTNN_RANDOM_H

#include <stdint.h>

/* A bijection of 64 bits in which every output bit depends on every input bit: the finalizer of SplitMix64
   (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
static inline uint64_t mix64(uint64_t z) {
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBu;
    z ^= z >> 31;
    return z;
}

/* The same for 32 bits, in operations that every instruction set has for vectors. The constants are those
   of C. Wellons' search for the two-round hash of the least bias ("lowbias32"). */
static inline uint32_t mix32(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return x;
}

#endif
