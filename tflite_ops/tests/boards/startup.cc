// From reset to main() on a Cortex-M core, with output and exit code by semihosting.
#include <stdint.h>

#include "tests/boards/board.h"

extern "C" {
extern uint32_t stack_top[], data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[];
int main();
[[noreturn]] void Reset();
[[noreturn]] void Fault();
}

namespace {

enum : int32_t { kWrite0 = 0x04, kExitExtended = 0x20 };

int32_t Semihost(int32_t operation, const void* argument) {
  register int32_t r0 asm("r0") = operation;
  register const void* r1 asm("r1") = argument;
  asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

[[noreturn]] void Exit(int32_t code) {
  const int32_t stopped_by_application[2] = {0x20026, code};
  Semihost(kExitExtended, stopped_by_application);
  for (;;) {
  }
}

// Not a part of Reset(), whose own first instructions must not touch the FPU.
[[noreturn]] __attribute__((noinline)) void Start() {
  const uint32_t* from = data_in_flash;
  for (uint32_t* to = data_begin; to != data_end;) *to++ = *from++;
  for (uint32_t* to = bss_begin; to != bss_end;) *to++ = 0;
  Exit(main());
}

}  // namespace

void Reset() {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  volatile uint32_t* const access_control = reinterpret_cast<volatile uint32_t*>(0xE000ED88);  // CPACR
  *access_control = *access_control | 0xFu << 20;  // the FPU and the vector unit: coprocessors 10 and 11
  asm volatile("dsb\n\tisb" ::: "memory");
#endif
  Start();
}

void Fault() { keras_ste::Stop("the core took a fault\n"); }

namespace keras_ste {

void Print(const char* text) { Semihost(kWrite0, text); }

void Stop(const char* why) {
  Print(why);
  Print("\n");
  Exit(3);
}

}  // namespace keras_ste

using Handler = void (*)();

extern "C" __attribute__((section(".vectors"), used)) const struct {
  uint32_t* stack;
  Handler reset;
  Handler faults[14];  // every exception of the core itself; no peripheral is switched on
} vectors = {stack_top,
             Reset,
             {Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault, Fault}};
