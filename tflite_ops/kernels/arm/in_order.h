// Instructions whose order compilers leave as it is: `asm volatile`. Cores that run in order (Cortex-A53, A55) wait for
// every result that is asked for too soon, so in the innermost loops several instructions of a kind follow each other,
// and what the next step needs is loaded under this one; compilers would undo it (`benchmarks/aarch64.py` says what
// comes of it).
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_ARM_IN_ORDER_H_
#define KERAS_STE_KERNELS_ARM_IN_ORDER_H_

#include <arm_neon.h>
#include <stdint.h>

namespace keras_ste {
namespace arm {

static inline uint8x16_t LoadWeights(const uint32_t* p) {
  uint8x16_t v;
  asm volatile("ldr %q0, %1" : "=w"(v) : "m"(*reinterpret_cast<const uint32_t(*)[4]>(p)));
  return v;
}

// One word in all lanes.
static inline uint8x16_t LoadInput(const uint32_t* p) {
  uint8x16_t v;
  asm volatile("ld1r {%0.4s}, %1" : "=w"(v) : "Q"(*p));
  return v;
}

// Four bytes in all lanes. With the pointer moved by the same instruction, it would take several cycles on Cortex-A53.
static inline int8x16_t LoadInput(const int8_t* p) {
  int8x16_t v;
  asm volatile("ld1r {%0.4s}, %1" : "=w"(v) : "Q"(*reinterpret_cast<const int8_t(*)[4]>(p)));
  return v;
}

// Sixteen bytes; several pointers can share the register of the offset. What is read is somewhere behind the pointer.
static inline int8x16_t LoadInput(const int8_t* p, int64_t offset) {
  int8x16_t v;
  asm volatile("ldr %q0, [%1, %2]"
               : "=w"(v)
               : "r"(p), "r"(offset), "m"(*reinterpret_cast<const int8_t(*)[INT32_MAX]>(p)));
  return v;
}

static inline uint8x16_t Differing(uint8x16_t a, uint8x16_t b) {
  uint8x16_t v;
  asm volatile("eor %0.16b, %1.16b, %2.16b" : "=w"(v) : "w"(a), "w"(b));
  return v;
}

static inline uint8x16_t Common(uint8x16_t a, uint8x16_t b) {
  uint8x16_t v;
  asm volatile("and %0.16b, %1.16b, %2.16b" : "=w"(v) : "w"(a), "w"(b));
  return v;
}

static inline uint8x16_t CountInBytes(uint8x16_t a) {
  uint8x16_t v;
  asm volatile("cnt %0.16b, %1.16b" : "=w"(v) : "w"(a));
  return v;
}

template <int32_t kCount>
static inline uint8x16_t ShiftRight(uint8x16_t a) {
  uint8x16_t v;
  asm volatile("ushr %0.16b, %1.16b, %2" : "=w"(v) : "w"(a), "i"(kCount));
  return v;
}

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_IN_ORDER_H_
