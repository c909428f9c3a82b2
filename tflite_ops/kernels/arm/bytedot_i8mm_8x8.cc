// USDOT multiplies unsigned weights by signed inputs as they are.
#include "kernels/arm/bytedot_8x8.h"
#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

struct MixedDot {
  static constexpr bool kSigned = false;

  template <int32_t kQuarter>
  static void AddQuarter(uint8x16_t w, int8x16_t y, int32x4_t* sum) {
    asm volatile("usdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(*sum) : "w"(w), "w"(y), "i"(kQuarter));
  }
  static void Add(uint8x16_t w, int8x16_t y, int32x4_t* sum) { *sum = vusdotq_s32(*sum, w, y); }
};

}  // namespace

void FillByteDotI8mm(CodeKernels* table) { FillByteDot8x8<MixedDot>(table); }

}  // namespace arm
}  // namespace keras_ste
