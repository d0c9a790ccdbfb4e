/* The machine's own limits, as JSON on standard output: limits THREADS
 *
 * peak: GFLOP/s of multiply-adds on registers, per precision.
 * copy, read: GB/s over working sets from a first-level cache's to memory's; a copy counts the bytes read
 * and the bytes written. Each figure is the best of several tries: a limit is what can be reached.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define CHAINS 12 /* independent sums: more than latency times units of any processor; they fit 16 registers */
#define TRIES 15

typedef float float_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef double double_vector __attribute__((vector_size(VECTOR_BYTES)));

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* Some steps of CHAINS independent x = x * a + b; the sum is returned, so that nothing is left out. */
#define DEFINE_MULTIPLY_ADDS(name, real, vector)                             \
    static real name(int64_t steps) {                                        \
        vector x[CHAINS], a = (vector){} + (real)0.999, b = (vector){} + 1;  \
        for (int i = 0; i < CHAINS; i++) x[i] = (vector){} + (real)i;        \
        for (int64_t step = 0; step < steps; step++)                         \
            for (int i = 0; i < CHAINS; i++) x[i] = x[i] * a + b;            \
        for (int i = 1; i < CHAINS; i++) x[0] += x[i];                       \
        return x[0][0];                                                      \
    }
DEFINE_MULTIPLY_ADDS(float_multiply_adds, float, float_vector)
DEFINE_MULTIPLY_ADDS(double_multiply_adds, double, double_vector)

static volatile double sink;

static double peak(int threads, int is_double) {
    const int64_t steps = 500000;
    double best = 0, lanes = VECTOR_BYTES / (is_double ? 8 : 4);
    for (int i = 0; i < TRIES; i++) {
        double start = seconds(), total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
        total += is_double ? double_multiply_adds(steps) : float_multiply_adds(steps);
        double rate = 2.0 * lanes * CHAINS * steps * threads / (seconds() - start) * 1e-9;
        sink = total;
        if (rate > best) best = rate;
    }
    return best;
}

static void copy(float_vector *restrict to, const float_vector *restrict from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
    __asm__ volatile("" : : "r"(to) : "memory"); /* keeps the compiler from leaving out a repeated copy */
}

static float read_all(const float_vector *from, int64_t count) {
    float_vector sum[8] = {{0}};
    for (int64_t i = 0; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += from[i + j];
    for (int j = 1; j < 8; j++) sum[0] += sum[j];
    __asm__ volatile("" : : "r"(from) : "memory");
    return sum[0][0];
}

/* GB/s over a working set of `bytes`, divided evenly between the threads. */
static double bandwidth(float_vector *memory, int64_t bytes, int threads, int reading) {
    int64_t share = bytes / threads / VECTOR_BYTES / 16 * 16, half = share / 2;
    int64_t passes = 1 + (int64_t)1e8 / bytes;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double start = seconds(), total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
        {
            int thread = 0;
#ifdef _OPENMP
            thread = omp_get_thread_num();
#endif
            float_vector *mine = memory + thread * share;
            for (int64_t pass = 0; pass < passes; pass++)
                if (reading)
                    total += read_all(mine, share);
                else
                    copy(mine, mine + half, half);
        }
        double rate = (double)share * VECTOR_BYTES * threads * passes / (seconds() - start) * 1e-9;
        sink = total;
        if (rate > best) best = rate;
    }
    return best;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    const int64_t largest = (int64_t)256 << 20;
    float_vector *memory = aligned_alloc(4096, largest);
    if (!memory) return 1;
    memset(memory, 0, largest);
#ifndef _OPENMP
    if (threads > 1) return 2;
#endif
    printf("{\"peak\": {\"float32\": %.1f, \"float64\": %.1f}", peak(threads, 0), peak(threads, 1));
    for (int reading = 0; reading < 2; reading++) {
        printf(", \"%s\": {", reading ? "read" : "copy");
        for (int64_t bytes = 16 << 10; bytes <= largest; bytes *= 4)
            printf("%s\"%lld\": %.1f", bytes > 16 << 10 ? ", " : "", (long long)bytes,
                   bandwidth(memory, bytes, threads, reading));
        printf("}");
    }
    printf("}\n");
    free(memory);
    return 0;
}
