/* A library that answers as the NVIDIA driver's does, with what a script file says at that moment.
 *
 * Lines of the file named by NVML_SCRIPT, fields parted by tabs; codes are those of nvmlReturn_t:
 *
 *   device  uuid  name  total MiB  used MiB  utilization  code of every question
 *   mig     index of its device  uuid  name  total MiB  used MiB
 *   init    code of nvmlInit
 *   hang    (every question waits until the line is gone)
 *   crash   (every question ends the process)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    DRIVER_NOT_LOADED = 9,
};
enum { MAX = 16, TEXT = 96, FIRST_SLICE = 1000 };

typedef struct { char uuid[TEXT], name[TEXT]; unsigned long long total, used; unsigned rate, parent; int code; } Unit;
typedef struct { Unit devices[MAX], slices[MAX]; unsigned n_devices, n_slices; int init, hang, crash; } Script;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;

static void load(Script *script) {
    char line[512];
    const char *path = getenv("NVML_SCRIPT");
    FILE *file = path ? fopen(path, "r") : NULL;
    memset(script, 0, sizeof *script);
    if (!file) { script->init = DRIVER_NOT_LOADED; return; }
    while (fgets(line, sizeof line, file)) {
        Unit u = {0};
        if (sscanf(line, "device\t%95[^\t]\t%95[^\t]\t%llu\t%llu\t%u\t%d", u.uuid, u.name, &u.total, &u.used, &u.rate, &u.code) == 6 && script->n_devices < MAX)
            script->devices[script->n_devices++] = u;
        else if (sscanf(line, "mig\t%u\t%95[^\t]\t%95[^\t]\t%llu\t%llu", &u.parent, u.uuid, u.name, &u.total, &u.used) == 5 && script->n_slices < MAX)
            script->slices[script->n_slices++] = u;
        else if (!strncmp(line, "hang", 4)) script->hang = 1;
        else if (!strncmp(line, "crash", 5)) script->crash = 1;
        else sscanf(line, "init\t%d", &script->init);
    }
    fclose(file);
}

static void ask(Script *script) {
    for (load(script); script->hang; load(script)) usleep(20000);
    if (script->crash) abort();
}

static Unit *find(Script *script, nvmlDevice_t device) {
    size_t handle = (size_t)device;
    if (handle >= FIRST_SLICE && handle - FIRST_SLICE < script->n_slices) return &script->slices[handle - FIRST_SLICE];
    if (handle >= 1 && handle <= script->n_devices) return &script->devices[handle - 1];
    return NULL;
}

#define UNIT(device) \
    Script script; ask(&script); \
    Unit *unit = find(&script, device); \
    if (!unit) return INVALID_ARGUMENT; \
    if (unit->code) return unit->code

nvmlReturn_t nvmlInitWithFlags(unsigned flags) { Script script; (void)flags; ask(&script); return script.init; }
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(nvmlReturn_t code) { return code == 15 ? "GPU is lost" : code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error"; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) { Script script; ask(&script); *count = script.n_devices; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    *device = (nvmlDevice_t)(size_t)(index + 1);
    UNIT(*device);
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *text, unsigned length) { UNIT(device); snprintf(text, length, "%s", unit->name); return SUCCESS; }
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *text, unsigned length) { UNIT(device); snprintf(text, length, "%s", unit->uuid); return SUCCESS; }
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    UNIT(device);
    memory->total = unit->total << 20; memory->used = unit->used << 20; memory->free = memory->total - memory->used;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    UNIT(device);
    memory->total = unit->total << 20; memory->used = unit->used << 20; memory->free = memory->total - memory->used; memory->reserved = 0;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    UNIT(device);
    if ((size_t)device >= FIRST_SLICE) return NOT_SUPPORTED;
    rates->gpu = unit->rate; rates->memory = 0;
    return SUCCESS;
}

static unsigned slices_of(Script *script, nvmlDevice_t device) {
    unsigned count = 0;
    for (unsigned n = 0; n < script->n_slices; n++) count += script->slices[n].parent + 1 == (size_t)device;
    return count;
}
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    UNIT(device);
    if (!strstr(unit->name, "A100")) return NOT_SUPPORTED;
    *current = *pending = slices_of(&script, device) > 0;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count) { UNIT(device); *count = 7; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *slice) {
    UNIT(device);
    for (unsigned n = 0; n < script.n_slices; n++)
        if (script.slices[n].parent + 1 == (size_t)device && index-- == 0) {
            *slice = (nvmlDevice_t)(size_t)(FIRST_SLICE + n);
            return SUCCESS;
        }
    return NOT_FOUND;
}
