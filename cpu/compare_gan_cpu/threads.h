// Threads and their memory.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>

#include "xla/ffi/api/ffi.h"

namespace compare_gan {

// Calls work(0), ..., work(count - 1), in this thread and those of the pool that are free.
//
// The caller takes items like any other thread and waits only for items that run, so a busy pool delays
// nothing. A task that starts late finds no item left; it owns what it reads.
inline void parallel(xla::ffi::ThreadPool& pool, int64_t count, const std::function<void(int64_t)>& work) {
  struct State {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto state = std::make_shared<State>();
  auto run = [state, count, &work] {
    for (int64_t i; (i = state->next.fetch_add(1)) < count;) {
      work(i);
      if (state->done.fetch_add(1) + 1 == count) state->done.notify_all();
    }
  };
  for (int64_t i = 1; i < std::min<int64_t>(count, pool.num_threads()); ++i) pool.Schedule([run] { run(); });
  run();
  for (int64_t done; (done = state->done.load()) < count;) state->done.wait(done);
}

// Memory of a thread that grows and is kept, since fresh pages cost more than the work on them.
template <class T>
class Scratch {
 public:
  T* get(int64_t count) {
    if (count > capacity_) {
      memory_.reset(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))));
      capacity_ = count;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> memory_;
  int64_t capacity_ = 0;
};

}  // namespace compare_gan
