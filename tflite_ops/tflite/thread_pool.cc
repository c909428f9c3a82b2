#include "tflite/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace keras_ste {
namespace {

// Ranges per thread: enough that a thread the system holds up does not hold up the rest for long.
constexpr int32_t kRangesPerThread = 4;
// A waiting thread looks this often, then lets others have its core: XNNPACK's threads, or a thread that is waited for.
constexpr int32_t kLooksOfTurn = 32;
// After so many turns, some 0.2 ms, it sleeps. The next op mostly comes within them, and a thread asleep comes too late for it:
// waking takes as long as a small op.
constexpr int32_t kTurns = 300;
constexpr int32_t kMaxThreads = 64;  // further ones are not started

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks until `done`, once for a turn.
template <typename Done>
bool IsSoon(const Done& done) {
  for (int32_t i = 0; i < kLooksOfTurn; ++i) {
    if (done()) return true;
    Pause();
  }
  std::this_thread::yield();
  return false;
}

class Pool {
 public:
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // False where the pool is taken.
  bool Run(int32_t threads, int32_t units, const std::function<void(int32_t, int32_t)>& work) {
    std::unique_lock<std::mutex> only(in_use_, std::try_to_lock);
    if (!only.owns_lock()) return false;
    while (Workers() < threads - 1 && AddWorker()) {
    }
    if (threads > Workers() + 1) threads = Workers() + 1;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      units_ = units;
      threads_ = threads;
      ranges_ = threads * kRangesPerThread < units ? threads * kRangesPerThread : units;
      for (int32_t t = 0; t < threads; ++t) next_range_[t].value.store(FirstRange(t), std::memory_order_relaxed);
      helpers_ = threads - 1;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    TakeRanges(0);
    {
      // A helper that has not begun is not waited for: the system may not give it a core for milliseconds.
      std::lock_guard<std::mutex> lock(mutex_);
      helpers_ = 0;
    }
    while (!IsSoon([&] { return running_.load(std::memory_order_acquire) == 0; })) {
    }
    return true;
  }

 private:
  int32_t Workers() const { return static_cast<int32_t>(workers_.size()); }

  // False where the system gives no more threads: then those that are there do all the work.
  bool AddWorker() {
    const int32_t index = Workers();
    const uint64_t seen = generation_.load();
    try {
      workers_.emplace_back([this, index, seen] { Work(index, seen); });
    } catch (const std::exception&) {
      return false;
    }
    return true;
  }

  int32_t FirstRange(int32_t thread) const {
    return static_cast<int32_t>(static_cast<int64_t>(ranges_) * thread / threads_);
  }

  // Those of this thread, then what others have not begun. So a thread begins with the same part of each op, whose weights and
  // inputs its core's caches may hold since the call or the op before.
  void TakeRanges(int32_t thread) {
    for (int32_t i = 0; i < threads_; ++i) {
      const int32_t of = (thread + i) % threads_, end = FirstRange(of + 1);
      std::atomic<int32_t>& next = next_range_[of].value;
      for (int32_t r = next.fetch_add(1); r < end; r = next.fetch_add(1)) {
        const int64_t units = units_;
        (*work_)(static_cast<int32_t>(units * r / ranges_), static_cast<int32_t>(units * (r + 1) / ranges_));
      }
    }
  }

  void WaitForWork(uint64_t seen) {
    for (int32_t i = 0; i < kTurns; ++i) {
      if (IsSoon([&] { return generation_.load(std::memory_order_acquire) != seen; })) return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [&] { return generation_.load() != seen; });
  }

  void Work(int32_t index, uint64_t seen) {
    for (;;) {
      WaitForWork(seen);
      bool helps = false;
      {
        // Both under the lock that Run publishes them under, so that no work is taken for two.
        std::lock_guard<std::mutex> lock(mutex_);
        if (stopping_) return;
        seen = generation_.load();
        helps = index < helpers_;
        if (helps) running_.fetch_add(1, std::memory_order_relaxed);
      }
      if (!helps) continue;
      TakeRanges(index + 1);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::mutex in_use_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> generation_{0};
  struct alignas(64) OwnLine {  // of a cache
    std::atomic<int32_t> value{0};
  };
  OwnLine next_range_[kMaxThreads];
  std::atomic<int32_t> running_{0};
  const std::function<void(int32_t, int32_t)>* work_ = nullptr;
  int32_t units_ = 0;
  int32_t threads_ = 0;
  int32_t ranges_ = 0;
  int32_t helpers_ = 0;  // workers below this index may begin
  bool stopping_ = false;
};

Pool& ThePool() {
  static Pool pool;
  return pool;
}

}  // namespace

void ParallelFor(int32_t threads, int32_t units, const std::function<void(int32_t, int32_t)>& work) {
  if (threads > units) threads = units;
  if (threads > kMaxThreads) threads = kMaxThreads;
  if (threads <= 1 || !ThePool().Run(threads, units, work)) work(0, units);
}

}  // namespace keras_ste
