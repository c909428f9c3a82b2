// SDOT takes weights as signed: narrower ones fit, and those of eight bits are made signed.
#include "kernels/arm/bytedot_8x8.h"
#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

struct SignedDot {
  static constexpr bool kSigned = true;

  template <int32_t kQuarter>
  static void AddQuarter(uint8x16_t w, int8x16_t y, int32x4_t* sum) {
    asm volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(*sum) : "w"(w), "w"(y), "i"(kQuarter));
  }
  static void Add(uint8x16_t w, int8x16_t y, int32x4_t* sum) { *sum = vdotq_s32(*sum, vreinterpretq_s8_u8(w), y); }
};

}  // namespace

void FillByteDotDotProd(CodeKernels* table) { FillByteDot8x8<SignedDot>(table); }

}  // namespace arm
}  // namespace keras_ste
