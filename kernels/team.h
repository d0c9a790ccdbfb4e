/* A team of OpenMP threads that runs one function, and when to use one.

   libgomp is linked dynamically, so threadpoolctl sees it and its limits hold here. A forked child has no
   other threads while libgomp believes that it has: the child of a process that ran a team would hang at
   its first parallel region, so such a child works alone. */
#ifndef FASTNN_TEAM_H
#define FASTNN_TEAM_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "simd.h"

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_max_threads() 1
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#endif

/* Below this many multiply-adds (about 30 µs of one thread), waking and meeting costs more than it saves. */
#define TEAM_MIN_COST 1500000

static int team_ran, team_orphaned;
static int team_requested, team_limit_at_request;

static void team_after_fork(void) { team_orphaned = team_ran; }

/* Ask for n threads; OpenMP's own limit, if it falls later, still bounds them. */
static void team_request(int n) {
    team_requested = n;
    team_limit_at_request = omp_get_max_threads();
}

static int team_max(void) {
    const int limit = omp_get_max_threads();
    if (team_orphaned) return 1;
    if (!team_requested) return limit;
    return limit < team_limit_at_request && limit < team_requested ? limit : team_requested;
}

/* The number of threads for a work of `cost` multiply-adds. */
static int team_size(int64_t cost) { return cost < TEAM_MIN_COST ? 1 : team_max(); }

/* Where a team meets: how many have arrived, and how often all have. */
typedef struct {
    int64_t arrived, meetings;
} team_meeting;

static __thread team_meeting *team_here;

/* Looks at the meeting, about 20 µs of them, before a waiting thread offers its core to others. */
#define TEAM_SPINS 1000

static void team_run(void (*body)(void *, int64_t, int64_t), void *context, int64_t threads) {
    if (threads <= 1 || team_orphaned) {
        body(context, 0, 1);
        return;
    }
    if (!team_ran) {
        pthread_atfork(NULL, NULL, team_after_fork);
        team_ran = 1;
    }
    team_meeting meeting = {0, 0};
#pragma omp parallel num_threads((int)threads)
    {
        team_here = &meeting;
        body(context, omp_get_thread_num(), omp_get_num_threads());
    }
}

/* Wait for the other threads of the team; alone, return at once. OpenMP's own barrier spins for milliseconds:
   where another process has the core of the thread that is waited for, that would keep it waiting. */
static inline void team_barrier(int64_t threads) {
    if (threads <= 1) return;
    const int64_t meetings = __atomic_load_n(&team_here->meetings, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team_here->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        team_here->arrived = 0;
        __atomic_store_n(&team_here->meetings, meetings + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spin = 0; __atomic_load_n(&team_here->meetings, __ATOMIC_ACQUIRE) == meetings; spin++) {
        if (spin < TEAM_SPINS) spin_pause();
        else sched_yield();
    }
}

#endif
