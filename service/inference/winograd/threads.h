// What a network owns beside its weights: memory, and threads that share out a loop.
#pragma once
#include <sys/mman.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace winograd {

// Zeros to begin with, aligned for any register. Large ones lie in huge pages where the kernel has them: a transform writes to
// some hundred places at once, more than the processor remembers small pages of.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t floats) { resize(floats); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  // At least so many floats; where it grows, zeros again. Throws std::bad_alloc.
  void resize(size_t floats) {
    if (floats <= size_) return;
    const size_t page = floats * sizeof(float) < HUGE_PAGE ? 64 : HUGE_PAGE;
    const size_t bytes = (floats * sizeof(float) + page - 1) / page * page;
    std::free(data_);
    size_ = 0;
    data_ = static_cast<float*>(std::aligned_alloc(page, bytes));
    if (!data_) throw std::bad_alloc();
    if (page == HUGE_PAGE) madvise(data_, bytes, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes);
    size_ = floats;
  }
  float* get() const { return data_; }

 private:
  static constexpr size_t HUGE_PAGE = size_t(2) << 20;
  float* data_ = nullptr;
  size_t size_ = 0;
};

// Threads that sleep until there is a loop to share. Each takes the next turn when it has done one, so a thread that is kept
// waiting costs little. What a turn computes never depends on who takes it.
class Threads {
 public:
  struct Scratch {
    Buffer inputs, sums;
  };

  // The caller of `run` works too, as thread 0.
  explicit Threads(int count) : scratch(count) {
    for (int i = 1; i < count; i++) workers_.emplace_back([this, i] { work(i); });
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  int count() const { return static_cast<int>(scratch.size()); }

  // turn(i, thread) for i in 0..turns-1, and back when all are done. A turn must not throw.
  void run(int turns, const std::function<void(int, int)>& turn) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      turn_ = &turn;
      turns_ = turns;
      next_ = 0;
      busy_ = static_cast<int>(workers_.size());
      loop_++;
    }
    wake_.notify_all();
    take_turns(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

  std::vector<Scratch> scratch;  // one a thread

 private:
  void take_turns(int thread) {
    for (int i; (i = next_.fetch_add(1)) < turns_;) (*turn_)(i, thread);
  }

  void work(int thread) {
    for (unsigned seen = 0;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || loop_ != seen; });
        if (stopping_) return;
        seen = loop_;
      }
      take_turns(thread);
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int, int)>* turn_ = nullptr;
  std::atomic<int> next_{0};
  int turns_ = 0, busy_ = 0;
  unsigned loop_ = 0;
  bool stopping_ = false;
};

}  // namespace winograd
