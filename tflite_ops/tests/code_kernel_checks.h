#ifndef KERAS_STE_TESTS_CODE_KERNEL_CHECKS_H_
#define KERAS_STE_TESTS_CODE_KERNEL_CHECKS_H_

#include "kernels/code_kernels.h"
#include "tests/random.h"

namespace keras_ste {

// Calls each kernel for codes once, with random sizes, and ends the program where a result is not that of a plain loop.
void CheckCodeKernels(const CodeKernels& kernels, Random* random);

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_CODE_KERNEL_CHECKS_H_
