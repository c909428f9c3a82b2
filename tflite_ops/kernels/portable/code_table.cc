#include "kernels/portable/kernels.h"

namespace keras_ste {

const CodeKernels* PortableCodeKernels() {
  static const CodeKernels table = [] {
    CodeKernels t = {};
    t.name = "portable";
    portable::FillPlaneDot(&t);
    portable::FillByteDot(&t);
    portable::FillFloatDot(&t);
    portable::FillNearest(&t);
    portable::FillRows(&t);
    return t;
  }();
  return &table;
}

}  // namespace keras_ste
