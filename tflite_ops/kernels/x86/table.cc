// Compiled for the oldest x86-64: asks the processor (and, through XGETBV, the system) what may run.
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace {

KernelTable Avx2Table() {
  KernelTable t = {};
  t.name = "avx2";
  x86::FillBitDotAvx2(&t);
  x86::FillSignSumAvx2(&t);
  t.output = x86::kOutputAvx2;
  t.pack_signs = x86::PackSignsAvx2;
  return t;
}

KernelTable Avx512Table() {
  KernelTable t = {};
  t.name = "avx512";
  x86::FillBitDotAvx512(&t);
  x86::FillSignSumAvx512(&t);
  t.output = x86::kOutputAvx512;
  t.pack_signs = x86::PackSignsAvx512;
  return t;
}

CodeKernels Avx2CodeTable() {
  CodeKernels t = {};
  t.name = "avx2";
  x86::FillPlaneDotAvx2(&t);
  x86::FillByteDotAvx2(&t);
  x86::FillFloatDotAvx2(&t);
  x86::FillNearestAvx2(&t);
  x86::FillRowsAvx2(&t);
  return t;
}

CodeKernels Avx512CodeTable() {
  CodeKernels t = {};
  t.name = "avx512";
  x86::FillPlaneDotAvx512(&t);
  x86::FillByteDotAvx512(&t);
  x86::FillFloatDotAvx512(&t);
  x86::FillNearestAvx512(&t);
  x86::FillRowsAvx512(&t);
  return t;
}

DepthwiseKernels Avx2DepthwiseTable() {
  DepthwiseKernels t = {};
  t.name = "avx2";
  x86::FillDepthwiseAvx2(&t);
  return t;
}

DepthwiseKernels Avx512DepthwiseTable() {
  DepthwiseKernels t = {};
  t.name = "avx512";
  x86::FillDepthwiseAvx512(&t);
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
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vpopcntdq") ||
      !__builtin_cpu_supports("avx512vnni")) {
    return nullptr;
  }
  static const KernelTable table = Avx512Table();
  return &table;
}

const CodeKernels* Avx2CodeKernels() {
  if (Avx2Kernels() == nullptr) return nullptr;
  static const CodeKernels table = Avx2CodeTable();
  return &table;
}

const CodeKernels* Avx512CodeKernels() {
  if (Avx512Kernels() == nullptr) return nullptr;
  static const CodeKernels table = Avx512CodeTable();
  return &table;
}

const DepthwiseKernels* Avx2DepthwiseKernels() {
  if (Avx2Kernels() == nullptr) return nullptr;
  static const DepthwiseKernels table = Avx2DepthwiseTable();
  return &table;
}

const DepthwiseKernels* Avx512DepthwiseKernels() {
  if (Avx512Kernels() == nullptr) return nullptr;
  static const DepthwiseKernels table = Avx512DepthwiseTable();
  return &table;
}

}  // namespace keras_ste
