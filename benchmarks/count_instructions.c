// A plugin for QEMU, versions 4.2 to 8.2: prints how many instructions the program ran. Debian has no package with
// qemu-plugin.h, so the few functions are declared here.
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t Id;
struct qemu_plugin_tb;
struct qemu_info_t;

void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, struct qemu_plugin_tb*));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb*, void (*)(unsigned, void*), int flags, void*);
void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void*), void*);

EXPORT int qemu_plugin_version = 1;

static uint64_t instructions;

static void Executed(unsigned processor, void* size) {
  (void)processor;
  instructions += (uintptr_t)size;
}

static void Translated(Id id, struct qemu_plugin_tb* block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, Executed, 0, (void*)qemu_plugin_tb_n_insns(block));
}

static void Exit(Id id, void* unused) {
  (void)id;
  (void)unused;
  fprintf(stderr, "instructions: %" PRIu64 "\n", instructions);
}

EXPORT int qemu_plugin_install(Id id, const struct qemu_info_t* info, int argc, char** argv) {
  (void)info;
  (void)argc;
  (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translated);
  qemu_plugin_register_atexit_cb(id, Exit, NULL);
  return 0;
}
