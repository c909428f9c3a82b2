// A dot product with ones adds the four bytes of a lane to 32 bits: nothing is ever widened.
#include "kernels/arm/planedot_2x32.h"
#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

struct LaneCounter {
  using Counts = uint32x4_t;
  static constexpr int32_t kSteps = INT32_MAX;

  static void Add(uint8x16_t bytes, Counts* counts) {
    asm volatile("udot %0.4s, %1.16b, %2.16b" : "+w"(*counts) : "w"(bytes), "w"(vdupq_n_u8(1)));
  }
  static int32x4_t Total(Counts counts) { return vreinterpretq_s32_u32(counts); }
};

}  // namespace

void FillPlaneDotDotProd(CodeKernels* table) { FillPlaneDot2x32<LaneCounter>(table); }

}  // namespace arm
}  // namespace keras_ste
