// Compiled for the oldest x86-64: asks the processor (and, through XGETBV, the system) what may run.
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace {

KernelTable Avx2Table() {
  KernelTable t = {};
  t.name = "avx2";
  x86::FillBitDotAvx2(&t);
  x86::FillSignSumAvx2(&t);
  x86::FillOutputAvx2(&t);
  t.pack_signs = x86::PackSignsAvx2;
  return t;
}

KernelTable Avx512Table() {
  KernelTable t = {};
  t.name = "avx512";
  x86::FillBitDotAvx512(&t);
  x86::FillSignSumAvx512(&t);
  x86::FillOutputAvx512(&t);
  t.pack_signs = x86::PackSignsAvx512;
  return t;
}

}  // namespace

const KernelTable* Avx2Kernels() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) return nullptr;
  static const KernelTable table = Avx2Table();
  return &table;
}

const KernelTable* Avx512Kernels() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vpopcntdq")) {
    return nullptr;
  }
  static const KernelTable table = Avx512Table();
  return &table;
}

}  // namespace keras_ste
