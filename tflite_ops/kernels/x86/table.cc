// Compiled for the oldest x86-64: asks the processor (and, through XGETBV, the system) what may run.
#include <cpuid.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace {

bool HasAvx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

#if defined(KERAS_STE_AVXVNNI)
// Not all compilers' __builtin_cpu_supports know it. The system keeps the registers where it does so for AVX2.
bool HasAvxVnni() {
  unsigned int a, b, c, d;
  if (!HasAvx2() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1) return false;  // a: the last subleaf
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1u) != 0;
}
#endif

bool HasAvx512Bw() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

bool HasAvx512() {
  return HasAvx512Bw() && __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}

using FillCodes = void (*)(CodeKernels*);

CodeKernels Avx2CodeTable(const char* name, FillCodes fill_bytedot) {
  CodeKernels t = {};
  t.name = name;
  fill_bytedot(&t);
  x86::FillPlaneDotAvx2(&t);
  x86::FillFloatDotAvx2(&t);
  x86::FillNearestAvx2(&t);
  x86::FillRowsAvx2(&t);
  return t;
}

CodeKernels Avx512CodeTable(const char* name, FillCodes fill_planedot, FillCodes fill_bytedot) {
  CodeKernels t = {};
  t.name = name;
  fill_planedot(&t);
  fill_bytedot(&t);
  x86::FillFloatDotAvx512(&t);
  x86::FillNearestAvx512(&t);
  x86::FillRowsAvx512(&t);
  return t;
}

void FillBytesAvx512Vnni(CodeKernels* t) {
  x86::FillByteDotAvx512Vnni(t);
  x86::FillByteRowAvx512Vnni(t);
}

DepthwiseKernels Avx2DepthwiseTable() {
  DepthwiseKernels t = {};
  x86::FillDepthwiseAvx2(&t);
  return t;
}

DepthwiseKernels Avx512DepthwiseTable() {
  DepthwiseKernels t = {};
  x86::FillDepthwiseAvx512Bw(&t);
  return t;
}

KernelTable Avx2Table(const CodeKernels* codes) {
  static const DepthwiseKernels depthwise = Avx2DepthwiseTable();
  KernelTable t = {};
  t.name = codes->name;
  t.codes = codes;
  t.depthwise = &depthwise;
  x86::FillSignSumAvx2(&t);
  t.output = x86::kOutputAvx2;
  t.pack_signs = x86::PackSignsAvx2;
  return t;
}

KernelTable Avx512Table(const CodeKernels* codes) {
  static const DepthwiseKernels depthwise = Avx512DepthwiseTable();
  KernelTable t = {};
  t.name = codes->name;
  t.codes = codes;
  t.depthwise = &depthwise;
  x86::FillSignSumAvx512(&t);
  t.output = x86::kOutputAvx512;
  t.pack_signs = x86::PackSignsAvx512;
  return t;
}

}  // namespace

const KernelTable* Avx2Kernels() {
  if (!HasAvx2()) return nullptr;
  static const CodeKernels codes = Avx2CodeTable("avx2", x86::FillByteDotAvx2);
  static const KernelTable table = Avx2Table(&codes);
  return &table;
}

#if defined(KERAS_STE_AVXVNNI)
const KernelTable* AvxVnniKernels() {
  if (!HasAvxVnni()) return nullptr;
  static const CodeKernels codes = Avx2CodeTable("avxvnni", x86::FillByteDotAvxVnni);
  static const KernelTable table = Avx2Table(&codes);
  return &table;
}
#endif

const KernelTable* Avx512BwKernels() {
  if (!HasAvx512Bw()) return nullptr;
  static const CodeKernels codes =
      Avx512CodeTable("avx512bw", x86::FillPlaneDotAvx512Bw, x86::FillByteDotAvx512Bw);
  static const KernelTable table = Avx512Table(&codes);
  return &table;
}

const KernelTable* Avx512Kernels() {
  if (!HasAvx512()) return nullptr;
  static const CodeKernels codes =
      Avx512CodeTable("avx512", x86::FillPlaneDotAvx512Vpopcntdq, FillBytesAvx512Vnni);
  static const KernelTable table = Avx512Table(&codes);
  return &table;
}

}  // namespace keras_ste
