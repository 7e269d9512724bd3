/* A stand-in libnvidia-ml.so.1 for tests on machines without an NVIDIA GPU.
 *
 * tests/rigs/nvml/__init__.py compiles it and gives the environment of a child that is to see it.
 * Every answer comes from the key=value file named by NVML_SHIM_PROFILE. The file is read again
 * at every call, so a test can rewrite it (os.replace) and the daemon sees the new value.
 *   key=value        system-wide (count, driver_version, nvml_version, cuda_version, init)
 *   0.key=value      device 0;   *.key=value   every device that has no line of its own
 *   value "!N"       the call returns NVML error N (e.g. !15 GPU_IS_LOST, !4 NO_PERMISSION)
 *   key not there    NVML_ERROR_NOT_SUPPORTED (3)
 * Sizes take a MiB or GiB suffix. "0.lost=!15" makes every call on device 0 return 15.
 * NVML_SHIM_ANSWERS=text is read in place of that file: many times quicker.
 * NVML_SHIM_LOG=file appends the name and the result of every call.
 * Written from the documented signatures of nvml.h; no code of NVIDIA's is used. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { OK = 0, UNINIT = 1, INVAL = 2, NOSUP = 3, NOTFOUND = 6, TOOSMALL = 7, NODRIVER = 9, VERSION = 25 };
#define MAXDEV 64
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct dev { u32 idx; } *dev_t_;
static struct dev devs[MAXDEV];
static int inits;

static int logged(const char *fn, int rc) {
    const char *p = getenv("NVML_SHIM_LOG");
    FILE *f = p ? fopen(p, "a") : NULL;
    if (f) { fprintf(f, "%s %d\n", fn, rc); fclose(f); }
    return rc;
}
#define RET(rc) return logged(__func__, (rc))

static int lookup(const char *want, char *out, size_t n) {      /* 1 found, 0 not */
    const char *path = getenv("NVML_SHIM_PROFILE"), *text = getenv("NVML_SHIM_ANSWERS");
    FILE *f = text ? fmemopen((void *) text, strlen(text), "r") : path ? fopen(path, "r") : NULL;
    char line[1024]; int hit = 0;
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        char *k = line + strspn(line, " \t"), *e = strchr(k, '=');
        if (*k == '#' || !e) continue;
        char *v = e + 1 + strspn(e + 1, " \t");
        while (e > k && (e[-1] == ' ' || e[-1] == '\t')) e--;
        *e = 0;
        if (strcmp(k, want)) continue;
        v[strcspn(v, "\r\n")] = 0;
        for (char *t = v + strlen(v); t > v && (t[-1] == ' ' || t[-1] == '\t'); ) *--t = 0;
        snprintf(out, n, "%s", v); hit = 1;
    }
    fclose(f);
    return hit;
}
static int err_in(const char *v) { return v[0] == '!' ? atoi(v + 1) : OK; }
static int get(dev_t_ d, const char *key, char *out, size_t n) { /* an NVML return code */
    char k[160];
    if (!inits) return UNINIT;
    if (d) {
        char lost[64];
        if (d < devs || d >= devs + MAXDEV) return INVAL;
        snprintf(k, sizeof k, "%u.lost", d->idx);
        if (lookup(k, lost, sizeof lost) && err_in(lost)) return err_in(lost);
        snprintf(k, sizeof k, "%u.%s", d->idx, key);
        if (lookup(k, out, n)) return err_in(out);
        snprintf(k, sizeof k, "*.%s", key);
    } else snprintf(k, sizeof k, "%s", key);
    return lookup(k, out, n) ? err_in(out) : NOSUP;
}
static int get_u64(dev_t_ d, const char *key, u64 *out) {
    char v[256], *e; int rc = get(d, key, v, sizeof v);
    if (rc) return rc;
    *out = strtoull(v, &e, 0);
    if (strstr(e, "GiB")) *out <<= 30; else if (strstr(e, "MiB")) *out <<= 20;
    return OK;
}
static int get_u32(dev_t_ d, const char *key, u32 *out) {
    u64 v; int rc; if (!out) return INVAL;
    rc = get_u64(d, key, &v); if (!rc) *out = (u32) v; return rc;
}
static int get_str(dev_t_ d, const char *key, char *out, u32 n) {
    char v[256]; int rc = get(d, key, v, sizeof v);
    if (rc) return rc;
    if (strlen(v) >= n) return TOOSMALL;
    strcpy(out, v); return OK;
}
static u32 ndev(void) { u64 n = 0; get_u64(NULL, "count", &n); return n > MAXDEV ? MAXDEV : (u32) n; }

/* ---- library ---- */
int nvmlInitWithFlags(u32 flags) {
    char v[64]; (void) flags;
    if (!getenv("NVML_SHIM_PROFILE") && !getenv("NVML_SHIM_ANSWERS")) RET(NODRIVER);
    if (lookup("init", v, sizeof v) && err_in(v)) RET(err_in(v));
    for (u32 i = 0; i < MAXDEV; i++) devs[i].idx = i;
    inits++; RET(OK);
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!inits) RET(UNINIT); inits--; RET(OK); }
const char *nvmlErrorString(int r) {
    switch (r) {
        case 0: return "Success"; case 1: return "Uninitialized"; case 2: return "Invalid Argument";
        case 3: return "Not Supported"; case 4: return "Insufficient Permissions"; case 6: return "Not Found";
        case 7: return "Insufficient Size"; case 9: return "Driver Not Loaded"; case 13: return "Function Not Found";
        case 15: return "GPU is lost"; case 18: return "RM has detected an NVML/RM version mismatch.";
        default: return "Unknown Error"; }
}
int nvmlSystemGetDriverVersion(char *v, u32 n) { RET(get_str(NULL, "driver_version", v, n)); }
int nvmlSystemGetNVMLVersion(char *v, u32 n) { RET(get_str(NULL, "nvml_version", v, n)); }
int nvmlSystemGetCudaDriverVersion_v2(int *v) {           /* "13.0" -> 13000 */
    char s[32]; int a = 0, b = 0, rc = get(NULL, "cuda_version", s, sizeof s);
    if (!rc) { sscanf(s, "%d.%d", &a, &b); *v = a * 1000 + b * 10; } RET(rc);
}
int nvmlSystemGetCudaDriverVersion(int *v) { return nvmlSystemGetCudaDriverVersion_v2(v); }

/* ---- finding devices ---- */
int nvmlDeviceGetCount_v2(u32 *n) { if (!inits) RET(UNINIT); *n = ndev(); RET(OK); }
int nvmlDeviceGetCount(u32 *n) { return nvmlDeviceGetCount_v2(n); }
int nvmlDeviceGetHandleByIndex_v2(u32 i, dev_t_ *d) {
    char v[64], k[64];
    if (!inits) RET(UNINIT);
    if (i >= ndev()) RET(INVAL);
    snprintf(k, sizeof k, "%u.handle", i);                /* "1.handle=!15": fallen off the bus */
    if (lookup(k, v, sizeof v) && err_in(v)) RET(err_in(v));
    *d = &devs[i]; RET(OK);
}
int nvmlDeviceGetHandleByIndex(u32 i, dev_t_ *d) { return nvmlDeviceGetHandleByIndex_v2(i, d); }
static int by(const char *key, const char *want, dev_t_ *d) {
    char v[256];
    if (!inits) return UNINIT;
    for (u32 i = 0; i < ndev(); i++)
        if (!get(&devs[i], key, v, sizeof v) && !strcasecmp(v, want)) { *d = &devs[i]; return OK; }
    return NOTFOUND;
}
int nvmlDeviceGetHandleByUUID(const char *s, dev_t_ *d) { RET(by("uuid", s, d)); }
int nvmlDeviceGetHandleByPciBusId_v2(const char *s, dev_t_ *d) { /* a domain of four or of eight digits */
    char v[256], k[64]; u32 a[3], b[3];
    if (!inits) RET(UNINIT);
    if (sscanf(s, "%x:%x:%x", a, a + 1, a + 2) != 3) RET(INVAL);
    for (u32 i = 0; i < ndev(); i++) {
        snprintf(k, sizeof k, "%u.pci", i);
        if (lookup(k, v, sizeof v) && sscanf(v, "%x:%x:%x", b, b + 1, b + 2) == 3 && !memcmp(a, b, sizeof a))
            RET(nvmlDeviceGetHandleByIndex_v2(i, d));
    }
    RET(NOTFOUND);
}
int nvmlDeviceGetIndex(dev_t_ d, u32 *i) { if (!inits) RET(UNINIT); *i = d->idx; RET(OK); }

/* ---- identity ---- */
int nvmlDeviceGetName(dev_t_ d, char *v, u32 n) { RET(get_str(d, "name", v, n)); }
int nvmlDeviceGetUUID(dev_t_ d, char *v, u32 n) { RET(get_str(d, "uuid", v, n)); }
int nvmlDeviceGetSerial(dev_t_ d, char *v, u32 n) { RET(get_str(d, "serial", v, n)); }
int nvmlDeviceGetMinorNumber(dev_t_ d, u32 *v) { RET(get_u32(d, "minor", v)); }
int nvmlDeviceGetArchitecture(dev_t_ d, u32 *v) { RET(get_u32(d, "arch", v)); }
int nvmlDeviceGetNumGpuCores(dev_t_ d, u32 *v) { RET(get_u32(d, "cores", v)); }
int nvmlDeviceGetCudaComputeCapability(dev_t_ d, int *ma, int *mi) {
    char s[32]; int rc = get(d, "cc", s, sizeof s);
    if (!rc && sscanf(s, "%d.%d", ma, mi) != 2) rc = INVAL;
    RET(rc);
}
typedef struct { char legacy[16]; u32 domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } pci_t;
static int place(dev_t_ d, const char *key, pci_t *p) {
    char s[64]; u32 fn = 0; int rc = get(d, key, s, sizeof s);
    if (rc) return rc;
    memset(p, 0, sizeof *p);
    if (sscanf(s, "%x:%x:%x.%x", &p->domain, &p->bus, &p->device, &fn) < 3) return INVAL;
    snprintf(p->legacy, sizeof p->legacy, "%04X:%02X:%02X.%u", p->domain & 0xffff, p->bus & 0xff, p->device & 0xff, fn & 7);
    snprintf(p->busId, sizeof p->busId, "%08X:%02X:%02X.%u", p->domain, p->bus & 0xff, p->device & 0xff, fn & 7);
    return OK;
}
int nvmlDeviceGetPciInfo_v3(dev_t_ d, pci_t *p) {
    int rc = place(d, "pci", p);
    if (!rc) { get_u32(d, "pci_device_id", &p->pciDeviceId); get_u32(d, "pci_subsystem_id", &p->pciSubSystemId); }
    RET(rc);
}

/* ---- memory: mem_total is needed; free = total - used - reserved unless mem_free is given ---- */
typedef struct { u64 total, free, used; } mem1_t;
typedef struct { u32 version; u64 total, reserved, free, used; } mem2_t;
static int mem(dev_t_ d, mem2_t *m) {
    u64 u = 0, r = 0, f; int rc = get_u64(d, "mem_total", &m->total);
    if (rc) return rc;
    get_u64(d, "mem_used", &u); get_u64(d, "mem_reserved", &r);
    m->used = u; m->reserved = r; m->free = m->total - u - r;
    if (!get_u64(d, "mem_free", &f)) { m->free = f; m->used = m->total - f - r; }
    return OK;
}
int nvmlDeviceGetMemoryInfo(dev_t_ d, mem1_t *o) {        /* v1 counts the reserved part as used */
    mem2_t m; int rc = mem(d, &m);
    if (!rc) { o->total = m.total; o->free = m.free; o->used = m.used + m.reserved; } RET(rc);
}
int nvmlDeviceGetMemoryInfo_v2(dev_t_ d, mem2_t *o) {
    u32 v; int rc = get_u32(d, "mem_v2", &v);              /* "mem_v2=!13": a driver that knows v1 only */
    if (o->version != 0x02000028u) RET(VERSION);
    RET(rc && rc != NOSUP ? rc : mem(d, o));
}
int nvmlDeviceGetBAR1MemoryInfo(dev_t_ d, mem1_t *o) {    /* total, free, used: the same layout */
    int rc = get_u64(d, "bar1_total", &o->total);
    if (!rc) { o->used = 0; get_u64(d, "bar1_used", &o->used); o->free = o->total - o->used; } RET(rc);
}
typedef struct { u32 version, value; } mode_t_;
int nvmlDeviceGetAddressingMode(dev_t_ d, mode_t_ *m) { RET(get_u32(d, "addressing", &m->value)); }
int nvmlDeviceGetDisplayActive(dev_t_ d, u32 *v) { RET(get_u32(d, "display_active", v)); }
int nvmlDeviceGetMemoryBusWidth(dev_t_ d, u32 *v) { RET(get_u32(d, "bus_width", v)); }

/* ---- heat, power, load, clocks ---- */
int nvmlDeviceGetTemperature(dev_t_ d, u32 sensor, u32 *v) { if (sensor) RET(INVAL); RET(get_u32(d, "temp", v)); }
typedef struct { u32 version, sensor; int temperature; } temp_t;
int nvmlDeviceGetTemperatureV(dev_t_ d, temp_t *t) {
    if (t->version != 0x100000Cu) RET(VERSION);
    RET(get_u32(d, "temp", (u32 *) &t->temperature));
}
int nvmlDeviceGetTemperatureThreshold(dev_t_ d, u32 what, u32 *v) {
    static const char *n[] = { "shutdown", "slowdown", "mem_max", "gpu_max", "acoustic_min", "acoustic_curr", "acoustic_max", "gps_curr" };
    char k[64]; if (what > 7) RET(INVAL);
    snprintf(k, sizeof k, "temp_%s", n[what]); RET(get_u32(d, k, v));
}
typedef struct { u32 version; int margin; } margin_t;
int nvmlDeviceGetMarginTemperature(dev_t_ d, margin_t *m) { RET(get_u32(d, "temp_margin", (u32 *) &m->margin)); }
int nvmlDeviceGetFanSpeed(dev_t_ d, u32 *v) { RET(get_u32(d, "fan", v)); }
typedef struct { u32 version, fan, speed; } fan_t;
int nvmlDeviceGetFanSpeedRPM(dev_t_ d, fan_t *f) { RET(f->fan ? INVAL : get_u32(d, "fan_rpm", &f->speed)); }
int nvmlDeviceGetPerformanceState(dev_t_ d, u32 *v) { RET(get_u32(d, "pstate", v)); }
int nvmlDeviceGetTotalEnergyConsumption(dev_t_ d, u64 *v) { RET(get_u64(d, "energy_mj", v)); }
int nvmlDeviceGetPowerUsage(dev_t_ d, u32 *v) { RET(get_u32(d, "power_mw", v)); }
int nvmlDeviceGetEnforcedPowerLimit(dev_t_ d, u32 *v) { RET(get_u32(d, "power_limit_mw", v)); }
int nvmlDeviceGetPowerManagementLimit(dev_t_ d, u32 *v) { RET(get_u32(d, "power_limit_mw", v)); }
int nvmlDeviceGetPowerManagementDefaultLimit(dev_t_ d, u32 *v) { RET(get_u32(d, "power_default_mw", v)); }
int nvmlDeviceGetPowerManagementLimitConstraints(dev_t_ d, u32 *lo, u32 *hi) {
    int rc = get_u32(d, "power_min_mw", lo); RET(rc ? rc : get_u32(d, "power_max_mw", hi));
}
typedef struct { u32 gpu, memory; } util_t;
int nvmlDeviceGetUtilizationRates(dev_t_ d, util_t *u) {
    int rc = get_u32(d, "util_gpu", &u->gpu); RET(rc ? rc : get_u32(d, "util_mem", &u->memory));
}
static int clk(dev_t_ d, const char *pre, u32 type, u32 *v) {
    static const char *n[] = { "graphics", "sm", "mem", "video" };
    char k[64]; if (type > 3) return INVAL;
    snprintf(k, sizeof k, "%s_%s", pre, n[type]); return get_u32(d, k, v);
}
int nvmlDeviceGetClockInfo(dev_t_ d, u32 t, u32 *v) { RET(clk(d, "clock", t, v)); }
int nvmlDeviceGetMaxClockInfo(dev_t_ d, u32 t, u32 *v) { RET(clk(d, "max_clock", t, v)); }
int nvmlDeviceGetCurrentClocksThrottleReasons(dev_t_ d, u64 *v) { RET(get_u64(d, "throttle_reasons", v)); }
int nvmlDeviceGetCurrentClocksEventReasons(dev_t_ d, u64 *v) { RET(get_u64(d, "throttle_reasons", v)); }

/* ---- bus, topology, MIG, processes ---- */
int nvmlDeviceGetMaxPcieLinkGeneration(dev_t_ d, u32 *v) { RET(get_u32(d, "pcie_max_gen", v)); }
int nvmlDeviceGetGpuMaxPcieLinkGeneration(dev_t_ d, u32 *v) { RET(get_u32(d, "pcie_gpu_max_gen", v)); }
int nvmlDeviceGetMaxPcieLinkWidth(dev_t_ d, u32 *v) { RET(get_u32(d, "pcie_max_width", v)); }
int nvmlDeviceGetCurrPcieLinkGeneration(dev_t_ d, u32 *v) { RET(get_u32(d, "pcie_gen", v)); }
int nvmlDeviceGetCurrPcieLinkWidth(dev_t_ d, u32 *v) { RET(get_u32(d, "pcie_width", v)); }
int nvmlDeviceGetPcieThroughput(dev_t_ d, u32 c, u32 *v) { RET(get_u32(d, c ? "pcie_rx_kbs" : "pcie_tx_kbs", v)); }
int nvmlDeviceGetTopologyCommonAncestor(dev_t_ a, dev_t_ b, u32 *v) { (void) b; RET(get_u32(a, "topology", v)); }
int nvmlDeviceGetP2PStatus(dev_t_ a, dev_t_ b, u32 i, u32 *v) { (void) b; (void) i; RET(get_u32(a, "p2p", v)); }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(dev_t_ d, u32 link, pci_t *p) { /* "0.nvlink_0_pci=00000000:04:00.0" */
    char k[32]; snprintf(k, sizeof k, "nvlink_%u_pci", link); RET(place(d, k, p));
}
int nvmlDeviceGetVirtualizationMode(dev_t_ d, u32 *v) { RET(get_u32(d, "virtualization", v)); }
int nvmlDeviceGetNvLinkState(dev_t_ d, u32 link, u32 *v) { char k[32]; snprintf(k, sizeof k, "nvlink_%u", link); RET(get_u32(d, k, v)); }
int nvmlDeviceGetPersistenceMode(dev_t_ d, u32 *v) { RET(get_u32(d, "persistence", v)); }
int nvmlDeviceGetComputeMode(dev_t_ d, u32 *v) { RET(get_u32(d, "compute_mode", v)); }
int nvmlDeviceGetMigMode(dev_t_ d, u32 *cur, u32 *pend) {
    char s[32]; int rc = get(d, "mig", s, sizeof s);
    if (!rc) { *cur = *pend = 0; if (sscanf(s, "%u,%u", cur, pend) == 1) *pend = *cur; } RET(rc);
}
int nvmlDeviceGetEccMode(dev_t_ d, u32 *cur, u32 *pend) {
    int rc = get_u32(d, "ecc", cur); *pend = *cur; RET(rc);
}
int nvmlDeviceGetMaxMigDeviceCount(dev_t_ d, u32 *v) { RET(get_u32(d, "mig_max", v)); }
int nvmlDeviceGetMigDeviceHandleByIndex(dev_t_ d, u32 i, dev_t_ *m) { /* "0.mig_2=9": the lines of 9 are its third */
    char k[32]; u32 n; int rc;
    snprintf(k, sizeof k, "mig_%u", i); rc = get_u32(d, k, &n);
    if (rc) RET(rc == NOSUP ? NOTFOUND : rc);
    if (n >= MAXDEV) RET(INVAL);
    *m = &devs[n]; RET(OK);
}
typedef struct { u32 pid; u64 used; u32 gi, ci; } proc_t;
static int procs(dev_t_ d, const char *key, u32 *count, proc_t *out) {   /* "pid:bytes,pid:na" */
    char s[1024]; u32 n = 0, cap = out ? *count : 0; int rc = get(d, key, s, sizeof s);
    if (rc) return rc;
    for (char *save, *t = strtok_r(s, ", ", &save); t; t = strtok_r(NULL, ", ", &save), n++)
        if (n < cap) {
            char *c = strchr(t, ':'), *e;
            out[n].pid = (u32) strtoul(t, NULL, 10); out[n].gi = out[n].ci = 0xffffffffu;
            out[n].used = ~0ull;                          /* NVML_VALUE_NOT_AVAILABLE */
            if (c && c[1] != 'n') { out[n].used = strtoull(c + 1, &e, 0); if (strstr(e, "MiB")) out[n].used <<= 20; else if (strstr(e, "GiB")) out[n].used <<= 30; }
        }
    *count = n; return n > cap ? TOOSMALL : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(dev_t_ d, u32 *n, proc_t *p) { RET(procs(d, "compute_procs", n, p)); }
int nvmlDeviceGetComputeRunningProcesses_v2(dev_t_ d, u32 *n, proc_t *p) { RET(procs(d, "compute_procs", n, p)); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(dev_t_ d, u32 *n, proc_t *p) { RET(procs(d, "graphics_procs", n, p)); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(dev_t_ d, u32 *n, proc_t *p) { RET(procs(d, "mps_procs", n, p)); }
