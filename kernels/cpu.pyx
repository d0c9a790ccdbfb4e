"""What the processor can do, asked before any module that needs more than the baseline is loaded."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define HAS(feature) (__builtin_cpu_supports(feature) != 0)
    static int fastnn_has_v2(void) { return HAS("sse4.2") && HAS("popcnt"); }
    static int fastnn_has_v3(void) { return fastnn_has_v2() && HAS("avx2") && HAS("fma") && HAS("bmi2"); }
    static int fastnn_has_v4(void) {
        return fastnn_has_v3() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") &&
               HAS("avx512vl");
    }
    #else
    static int fastnn_has_v2(void) { return 0; }
    static int fastnn_has_v3(void) { return 0; }
    static int fastnn_has_v4(void) { return 0; }
    #endif
    """
    bint fastnn_has_v2()
    bint fastnn_has_v3()
    bint fastnn_has_v4()


def supported() -> list[str]:
    """The instruction-set levels of this processor, best first; empty where there is only the portable one."""
    levels = []
    if fastnn_has_v4():
        levels.append("x86-64-v4")
    if fastnn_has_v3():
        levels.append("x86-64-v3")
    if fastnn_has_v2():
        levels.append("x86-64-v2")
    return levels
