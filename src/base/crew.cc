// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/crew.h"

#include <system_error>
#include <utility>

namespace s3crate {

Crew::Crew(Executor& executor, const std::string& name, std::size_t helpers) : changed_(executor.cond_var()) {
  helpers_.reserve(helpers);
  try {
    for (std::size_t i = 0; i < helpers; ++i) helpers_.push_back(executor.spawn(name, [this] { help(); }));
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
}

Crew::~Crew() {
  {
    MutexLock lock(mu_);
    ending_ = true;
    changed_->notify_all();
  }
  helpers_.clear();
}

void Crew::run(std::size_t count, const std::function<void(std::size_t)>& each) {
  MutexLock lock(mu_);
  CHECK(each_ == nullptr);
  each_ = &each;
  count_ = count;
  next_ = done_ = 0;
  if (count > 1) changed_->notify_all();
  work();
  while (done_ < count_) changed_->wait(mu_);
  each_ = nullptr;
  next_ = count_ = 0;
  if (const auto thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
}

void Crew::help() {
  MutexLock lock(mu_);
  while (!ending_) {
    work();
    if (!ending_) changed_->wait(mu_);
  }
}

void Crew::work() {
  while (next_ < count_) {
    const std::size_t i = next_++;
    const auto& each = *each_;
    mu_.unlock();
    std::exception_ptr thrown;
    try {
      each(i);
    } catch (...) {
      thrown = std::current_exception();
    }
    mu_.lock();
    if (thrown) thrown_ = thrown;
    if (++done_ == count_) changed_->notify_all();
  }
}

}  // namespace s3crate
