// Threads for the ops of all interpreters in this process.
#ifndef KERAS_STE_TFLITE_THREAD_POOL_H_
#define KERAS_STE_TFLITE_THREAD_POOL_H_

#include <stdint.h>

#include <functional>

namespace keras_ste {

// Calls `work(begin, end)` for ranges that cover [0, units), on the calling thread and up to `threads` - 1 others, and
// returns when all are done. Where another interpreter is using the threads already, the caller does all the work itself:
// more threads than cores would only be in each other's way.
void ParallelFor(int32_t threads, int32_t units, const std::function<void(int32_t, int32_t)>& work);

}  // namespace keras_ste

#endif  // KERAS_STE_TFLITE_THREAD_POOL_H_
