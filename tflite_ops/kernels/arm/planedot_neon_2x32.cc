// Counters of bytes, which are widened before they can overflow: a step adds at most 8 to a byte, so 31 steps fit.
#include "kernels/arm/planedot_2x32.h"
#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

struct ByteCounter {
  using Counts = uint8x16_t;
  static constexpr int32_t kSteps = 31;

  static void Add(uint8x16_t bytes, Counts* counts) {
    asm volatile("add %0.16b, %0.16b, %1.16b" : "+w"(*counts) : "w"(bytes));
  }
  static int32x4_t Total(Counts counts) { return vreinterpretq_s32_u32(vpaddlq_u16(vpaddlq_u8(counts))); }
};

}  // namespace

void FillPlaneDotNeon(CodeKernels* table) { FillPlaneDot2x32<ByteCounter>(table); }

}  // namespace arm
}  // namespace keras_ste
