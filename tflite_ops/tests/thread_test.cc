// ParallelFor from one caller and from several at a time. To be built with the thread sanitizer too, which sees two
// threads at one unit.
//
//   thread_test           threads start, and do every unit once
//   thread_test starved   the system gives no threads: the caller does everything
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tflite/thread_pool.h"

namespace keras_ste {
namespace {

void Check(bool fine, const char* what) {
  if (fine) return;
  fprintf(stderr, "%s\n", what);
  exit(1);
}

// Plain counters: no two threads may touch the same one, and the caller must see what the others wrote.
void EveryUnitOnce(int32_t threads, int32_t units) {
  std::vector<int32_t> done(static_cast<size_t>(units), 0);
  ParallelFor(threads, units, [&](int32_t begin, int32_t end) {
    for (int32_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
  });
  for (int32_t count : done) Check(count == 1, "a unit was not done exactly once");
}

void ManySizes(int32_t rounds) {
  for (int32_t round = 0; round < rounds; ++round) {
    for (int32_t threads = 0; threads <= 6; ++threads) {
      for (int32_t units : {0, 1, 2, 5, 24, 1000}) EveryUnitOnce(threads, units);
    }
  }
}

// Each thread waits in its first range for the others: this returns only where all of them take part.
void AllTakePart(int32_t threads) {
  static int32_t calls = 0;
  const int32_t call = ++calls;
  std::atomic<int32_t> inside{0};
  ParallelFor(threads, 100 * threads, [&](int32_t, int32_t) {
    thread_local int32_t last_call = 0;
    if (last_call == call) return;
    last_call = call;
    ++inside;
    while (inside.load() < threads) std::this_thread::yield();
  });
  Check(inside.load() == threads, "not as many threads as asked for");
}

void SeveralCallers() {
  std::vector<std::thread> callers;
  for (int32_t i = 0; i < 4; ++i) callers.emplace_back([] { ManySizes(50); });
  for (std::thread& caller : callers) caller.join();
}

// From now on a new thread wants a stack that no address space holds.
void Starve() {
  pthread_attr_t attributes;
  Check(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, size_t{1} << 50) == 0 &&
            pthread_setattr_default_np(&attributes) == 0,
        "cannot set the size of stacks");
}

}  // namespace
}  // namespace keras_ste

int main(int argc, char** argv) {
  using namespace keras_ste;
  if (argc > 1 && strcmp(argv[1], "starved") == 0) {
    Starve();
    ManySizes(3);
  } else {
    for (int32_t threads = 1; threads <= 5; ++threads) AllTakePart(threads);
    ManySizes(50);
    SeveralCallers();
    AllTakePart(3);
  }
  printf("every unit was done once\n");
  return 0;
}
