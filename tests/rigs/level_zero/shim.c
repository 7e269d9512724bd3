/* A stand-in libze_loader.so.1 for tests on machines without Level Zero: one driver with chosen devices.
 *
 *   ZE_SHIM="Intel Arc B580,0,12216,0000:0b:00.0;..."   name, 1 for integrated, MiB, place on the bus
 * "crash" dies by SIGSEGV, "hang" never answers, "!N" is what zeInit returns. Without it zeInit fails as it
 * does without a driver. Written from the signatures and layouts of ze_api.h; no code of Intel's is used. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 0x78000001, MAX = 8 };
typedef struct { uint32_t kind; void *next; uint32_t type, vendor, device, flags, rest[20]; char name[256]; } props_t;
typedef struct { uint32_t kind; void *next; uint32_t flags, clock, bus; uint64_t total; char name[256]; } memory_t;
typedef struct { uint32_t kind; void *next; uint32_t at[4], speed[4]; } pci_t;
typedef struct { uint32_t kind; void *next; uint8_t uuid[16]; uint32_t version; } driver_t;
_Static_assert(sizeof(props_t) == 368 && sizeof(memory_t) == 296 && sizeof(pci_t) == 48 && sizeof(driver_t) == 40, "");
static struct { char name[256]; unsigned integrated; unsigned long long mib; unsigned at[4]; } devices[MAX];
static uint32_t count;

uint32_t zeInit(uint32_t flags) {
    const char *said = getenv("ZE_SHIM");
    if (!said || flags != 1) return UNINITIALIZED;
    if (!strcmp(said, "crash")) abort();
    if (!strcmp(said, "hang")) for (;;) pause();
    if (*said == '!') return (uint32_t) strtoul(said + 1, NULL, 0);
    for (char *save, *one = strtok_r(strdup(said), ";", &save); one && count < MAX; one = strtok_r(NULL, ";", &save)) {
        unsigned *at = devices[count].at;
        if (sscanf(one, "%255[^,],%u,%llu,%x:%x:%x.%x", devices[count].name, &devices[count].integrated,
                   &devices[count].mib, at, at + 1, at + 2, at + 3) >= 3) count++;
    }
    return OK;
}
uint32_t zeDriverGet(uint32_t *n, void **drivers) { *n = 1; if (drivers) drivers[0] = &count; return OK; }
uint32_t zeDriverGetApiVersion(void *driver, uint32_t *version) { (void) driver; *version = 1 << 16 | 6; return OK; }
uint32_t zeDriverGetProperties(void *driver, driver_t *d) { (void) driver; d->version = 17002026; return OK; }
uint32_t zeDeviceGet(void *driver, uint32_t *n, void **list) {
    (void) driver; *n = count;
    for (uint32_t i = 0; list && i < count; i++) list[i] = &devices[i];
    return OK;
}
static uint32_t which(const void *device) { return (uint32_t) ((const char *) device - (const char *) devices) / sizeof *devices; }
uint32_t zeDeviceGetProperties(void *device, props_t *p) {
    uint32_t i = which(device);
    if (p->kind != 3) return UNINITIALIZED;
    p->type = 1; p->flags = devices[i].integrated; memcpy(p->name, devices[i].name, sizeof p->name);
    return OK;
}
uint32_t zeDevicePciGetPropertiesExt(void *device, pci_t *p) {
    uint32_t i = which(device);
    if (!devices[i].at[1]) return UNINITIALIZED;             /* a place that was not chosen */
    memcpy(p->at, devices[i].at, sizeof p->at); return OK;
}
uint32_t zeDeviceGetMemoryProperties(void *device, uint32_t *n, memory_t *m) {
    *n = 1;
    if (m) m->total = devices[which(device)].mib << 20;
    return OK;
}
