/* A Vulkan layer that gives a software device (lavapipe) the name, kind, memory and place of a GPU.
 *
 * tests/rigs/vulkan/__init__.py compiles it and gives the environment of a child that is to see it.
 *   VKFAKE="NVIDIA GeForce RTX 3090,discrete,24576,23100,0000:01:00.0;iGPU,integrated,65536"
 * has one entry per physical device: name, discrete|integrated|cpu, total MiB, free MiB, place on the bus.
 * Free needs VK_EXT_memory_budget and the place VK_EXT_pci_bus_info, which the layer announces and takes out
 * again before the driver sees them. Only the figures are false: buffers and shaders stay lavapipe's. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>
#define EXPORT __attribute__((visibility("default")))
#define MAXPD 16
static PFN_vkGetInstanceProcAddr next_gipa; static PFN_vkGetDeviceProcAddr next_gdpa;
static VkPhysicalDevice pds[MAXPD]; static uint32_t npd;
typedef struct { char name[128], kind[16]; unsigned long long total, free; unsigned at[4]; int ok, placed; } fake_t;
static fake_t fake(VkPhysicalDevice pd) {
    fake_t f = {0}; const char *v = getenv("VKFAKE"); char *s = strdup(v ? v : ""), *save, *t; uint32_t i = 0, want = 0;
    while (want < npd && pds[want] != pd) want++;
    for (t = strtok_r(s, ";", &save); t; t = strtok_r(NULL, ";", &save), i++) if (i == want) {
        int n = sscanf(t, "%127[^,],%15[^,],%llu,%llu,%x:%x:%x.%x", f.name, f.kind, &f.total, &f.free, f.at, f.at + 1, f.at + 2, f.at + 3);
        f.placed = n == 8;
        if (n >= 3) { if (n < 4) f.free = f.total; f.total <<= 20; f.free <<= 20; f.ok = 1; }
    }
    free(s); return f;
}
/* Asked for while the instance is made: later, older loaders (1.3.239) answer with the top of the chain, us */
#define FUNCTIONS(F) F(vkEnumeratePhysicalDevices) F(vkGetPhysicalDeviceProperties) F(vkGetPhysicalDeviceProperties2) \
    F(vkGetPhysicalDeviceMemoryProperties) F(vkGetPhysicalDeviceMemoryProperties2) F(vkEnumerateDeviceExtensionProperties) F(vkCreateDevice)
#define DECLARE(fn) static PFN_##fn next_##fn;
#define LOOK_UP(fn) next_##fn = (PFN_##fn) next_gipa(*out, #fn);
#define NEXT(fn) next_##fn
FUNCTIONS(DECLARE)
static VKAPI_ATTR VkResult VKAPI_CALL l_Enum(VkInstance i, uint32_t *n, VkPhysicalDevice *p) {
    VkResult r = NEXT(vkEnumeratePhysicalDevices)(i, n, p);
    if (p && (r == VK_SUCCESS || r == VK_INCOMPLETE)) { npd = *n < MAXPD ? *n : MAXPD; memcpy(pds, p, npd * sizeof *p); }
    return r;
}
static void props(VkPhysicalDevice pd, VkPhysicalDeviceProperties *p) {
    fake_t f = fake(pd); if (!f.ok) return;
    snprintf(p->deviceName, sizeof p->deviceName, "%s", f.name);
    p->deviceType = !strcmp(f.kind, "discrete") ? VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU : !strcmp(f.kind, "integrated") ? VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU : VK_PHYSICAL_DEVICE_TYPE_CPU;
}
static VKAPI_ATTR void VKAPI_CALL l_Props(VkPhysicalDevice pd, VkPhysicalDeviceProperties *p) { NEXT(vkGetPhysicalDeviceProperties)(pd, p); props(pd, p); }
static VKAPI_ATTR void VKAPI_CALL l_Props2(VkPhysicalDevice pd, VkPhysicalDeviceProperties2 *p) {
    NEXT(vkGetPhysicalDeviceProperties2)(pd, p); props(pd, &p->properties);
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT)
            memcpy(&((VkPhysicalDevicePCIBusInfoPropertiesEXT *) s)->pciDomain, fake(pd).at, 4 * sizeof(uint32_t));
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext)     /* one UUID per device, or ggml drops "duplicates" */
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES)
            for (uint32_t i = 0; i < npd; i++) if (pds[i] == pd) ((VkPhysicalDeviceIDProperties *) s)->deviceUUID[15] = (uint8_t) (i + 1);
}
static void mem(VkPhysicalDevice pd, VkPhysicalDeviceMemoryProperties *m) {
    fake_t f = fake(pd); if (f.ok && m->memoryHeapCount) m->memoryHeaps[0].size = f.total;
}
static VKAPI_ATTR void VKAPI_CALL l_Mem(VkPhysicalDevice pd, VkPhysicalDeviceMemoryProperties *m) { NEXT(vkGetPhysicalDeviceMemoryProperties)(pd, m); mem(pd, m); }
static VKAPI_ATTR void VKAPI_CALL l_Mem2(VkPhysicalDevice pd, VkPhysicalDeviceMemoryProperties2 *m) {
    NEXT(vkGetPhysicalDeviceMemoryProperties2)(pd, m); mem(pd, &m->memoryProperties);
    for (VkBaseOutStructure *s = m->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) {
            VkPhysicalDeviceMemoryBudgetPropertiesEXT *b = (void *) s; fake_t f = fake(pd);
            memset(b->heapBudget, 0, sizeof b->heapBudget); memset(b->heapUsage, 0, sizeof b->heapUsage);
            b->heapBudget[0] = f.ok ? f.free : m->memoryProperties.memoryHeaps[0].size;
        }
}
static VKAPI_ATTR VkResult VKAPI_CALL l_Exts(VkPhysicalDevice pd, const char *layer, uint32_t *n, VkExtensionProperties *p) {
    PFN_vkEnumerateDeviceExtensionProperties nx = NEXT(vkEnumerateDeviceExtensionProperties); uint32_t real = 0;
    if (layer || !pd) return nx(pd, layer, n, p);
    VkResult r = nx(pd, NULL, &real, NULL); if (r != VK_SUCCESS) return r;
    uint32_t more = 1 + (uint32_t) fake(pd).placed;
    if (!p) { *n = real + more; return VK_SUCCESS; }
    if (*n < real + more) { r = nx(pd, NULL, n, p); return r == VK_SUCCESS ? VK_INCOMPLETE : r; }
    r = nx(pd, NULL, &real, p); if (r != VK_SUCCESS) return r;
    snprintf(p[real].extensionName, sizeof p[real].extensionName, "VK_EXT_memory_budget"); p[real].specVersion = 1; *n = real + more;
    if (more > 1) { snprintf(p[real + 1].extensionName, sizeof p->extensionName, "VK_EXT_pci_bus_info"); p[real + 1].specVersion = 2; }
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL l_CreateInstance(const VkInstanceCreateInfo *ci, const VkAllocationCallbacks *a, VkInstance *out) {
    VkLayerInstanceCreateInfo *l = (void *) ci->pNext;
    while (l && !(l->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && l->function == VK_LAYER_LINK_INFO)) l = (void *) l->pNext;
    if (!l) return VK_ERROR_INITIALIZATION_FAILED;
    next_gipa = l->u.pLayerInfo->pfnNextGetInstanceProcAddr; l->u.pLayerInfo = l->u.pLayerInfo->pNext;
    VkResult r = ((PFN_vkCreateInstance) next_gipa(NULL, "vkCreateInstance"))(ci, a, out);
    if (r == VK_SUCCESS) { FUNCTIONS(LOOK_UP) }
    return r;
}
static VKAPI_ATTR VkResult VKAPI_CALL l_CreateDevice(VkPhysicalDevice pd, const VkDeviceCreateInfo *ci, const VkAllocationCallbacks *a, VkDevice *out) {
    VkLayerDeviceCreateInfo *l = (void *) ci->pNext;
    while (l && !(l->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && l->function == VK_LAYER_LINK_INFO)) l = (void *) l->pNext;
    if (!l) return VK_ERROR_INITIALIZATION_FAILED;
    next_gdpa = l->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    l->u.pLayerInfo = l->u.pLayerInfo->pNext;
    VkDeviceCreateInfo c = *ci; const char *keep[256]; uint32_t n = 0;
    for (uint32_t i = 0; i < ci->enabledExtensionCount && n < 256; i++)
        if (strcmp(ci->ppEnabledExtensionNames[i], "VK_EXT_memory_budget") && strcmp(ci->ppEnabledExtensionNames[i], "VK_EXT_pci_bus_info")) keep[n++] = ci->ppEnabledExtensionNames[i];
    c.enabledExtensionCount = n; c.ppEnabledExtensionNames = keep;
    return NEXT(vkCreateDevice)(pd, &c, a, out);
}
EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL rig_gdpa(VkDevice d, const char *n) {
    if (!strcmp(n, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction) rig_gdpa;
    return next_gdpa ? next_gdpa(d, n) : NULL;
}
EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL rig_gipa(VkInstance i, const char *n) {
#define H(name, f) if (!strcmp(n, name)) return (PFN_vkVoidFunction) f
    H("vkGetInstanceProcAddr", rig_gipa); H("vkGetDeviceProcAddr", rig_gdpa); H("vkCreateInstance", l_CreateInstance); H("vkCreateDevice", l_CreateDevice);
    H("vkEnumeratePhysicalDevices", l_Enum); H("vkEnumerateDeviceExtensionProperties", l_Exts);
    H("vkGetPhysicalDeviceProperties", l_Props); H("vkGetPhysicalDeviceProperties2", l_Props2); H("vkGetPhysicalDeviceProperties2KHR", l_Props2);
    H("vkGetPhysicalDeviceMemoryProperties", l_Mem); H("vkGetPhysicalDeviceMemoryProperties2", l_Mem2); H("vkGetPhysicalDeviceMemoryProperties2KHR", l_Mem2);
    return next_gipa ? next_gipa(i, n) : NULL;
}
EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *p) {
    if (p->loaderLayerInterfaceVersion > 2) p->loaderLayerInterfaceVersion = 2;
    p->pfnGetInstanceProcAddr = rig_gipa; p->pfnGetDeviceProcAddr = rig_gdpa; p->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
