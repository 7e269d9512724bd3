/* LD_PRELOAD: one process believes that the machine has FAKE_RAM_MIB of RAM. llama.cpp's CPU device, and
 * so the device that ggml-rpc-server lends, reports sysconf(_SC_PHYS_PAGES) as its memory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

long sysconf(int name) {
    static long (*real)(int);
    const char *mib = getenv("FAKE_RAM_MIB");
    if (!real)
        real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    if (mib && (name == _SC_PHYS_PAGES || name == _SC_AVPHYS_PAGES))
        return (long)(strtoull(mib, 0, 10) * 1048576ull / (unsigned long)real(_SC_PAGESIZE));
    return real(name);
}
