// A network of 3x3x3 convolutions in float32 on the processor, and its C interface.
//
// Layers are added one by one, each reading the one before; a run leaves every layer's output to be read. No function throws or
// keeps state outside its network: what goes wrong comes back as one of the codes below. One network, one caller at a time.
#include <exception>
#include <memory>
#include <stdexcept>

#include "convolution.h"
#include "dense.h"
#include "first_convolution.h"

namespace winograd {

class Network {
 public:
  Network(int threads, int clips) : clips_(clips), threads_(threads) {}

  void add_clips() {
    empty(true);
    clips_in_ = std::make_unique<Clips>(clips_);
  }
  void add_frames(Shape s) {
    empty(true);
    require(s.channels > 0 && s.channels % CHUNK == 0 && s.frames > 0 && s.size > 0 && s.size <= 4096 && s.frames <= 4096);
    auto input = std::make_unique<Input>(clips_, s);
    frames_in_ = input.get();
    layers_.push_back(std::move(input));
  }
  void add_convolution(int outputs, int pool_time, int pool_space, const float* kernel, const float* bias) {
    require(outputs > 0 && outputs % PANEL == 0);
    if (clips_in_ && layers_.empty()) {
      require(pool_time == 1 && pool_space == 2);
      layers_.push_back(std::make_unique<FirstConvolution>(clips_, *clips_in_, outputs, kernel, bias));
      return;
    }
    const Activation& x = spatial().y;
    require((pool_time == 1 || pool_time == 2) && pool_space >= pool_time && pool_space <= 2 && x.shape.size % pool_space == 0);
    if (x.shape.frames == 2) return add<Tile<Pair, F2>>(x, outputs, pool_time, pool_space, kernel, bias);
    require(x.shape.frames % F4::OUTPUTS == 0);
    if (x.shape.size % F4::OUTPUTS == 0) return add<Tile<F4, F4>>(x, outputs, pool_time, pool_space, kernel, bias);
    add<Tile<F4, F2>>(x, outputs, pool_time, pool_space, kernel, bias);
  }
  void add_pool(int before, int size) {
    const Activation& x = spatial().y;
    require(x.shape.frames % 2 == 0 && before >= 0 && size > 0 && 2 * size - before <= x.shape.size + 1);
    layers_.push_back(std::make_unique<Pool>(clips_, x, before, size));
  }
  void add_dense(int outputs, bool relu, const float* kernel, const float* bias) {
    empty(false);
    require(outputs > 0 && layers_.back()->values() % CHUNK == 0);
    layers_.push_back(std::make_unique<Dense>(threads_, clips_, *layers_.back(), outputs, relu, kernel, bias));
  }

  void run_clips(const uint8_t* clips, const float* mean, int n) {
    require(clips_in_ && n >= 1 && n <= clips_);
    clips_in_->write(threads_, clips, mean, n);
    run(n);
  }
  void run_frames(const float* frames, int n) {
    require(frames_in_ && n >= 1 && n <= clips_);
    frames_in_->write(frames, n);
    run(n);
  }
  // The last run's outputs of a layer, -1 being the last: as many as `values` says a clip.
  void read(int layer, float* out, size_t values) const {
    const int i = layer < 0 ? layer + static_cast<int>(layers_.size()) : layer;
    require(i >= 0 && i < static_cast<int>(layers_.size()) && layers_[i]->values() == values);
    layers_[i]->read(out, ran_);
  }

 private:
  static void require(bool condition) {
    if (!condition) throw std::invalid_argument("shape");
  }
  void empty(bool expected) const { require((layers_.empty() && !clips_in_) == expected); }
  const Spatial& spatial() const {
    const auto* last = layers_.empty() ? nullptr : dynamic_cast<const Spatial*>(layers_.back().get());
    require(last);
    return *last;
  }
  template <class Tile> void add(const Activation& x, int outputs, int pool_time, int pool_space, const float* kernel, const float* bias) {
    layers_.push_back(std::make_unique<Convolution<Tile>>(threads_, clips_, x, outputs, pool_time, pool_space, kernel, bias));
  }
  void run(int n) {
    for (auto& layer : layers_) layer->run(threads_, n);
    ran_ = n;
  }

  const int clips_;
  int ran_ = 0;
  Threads threads_;
  std::unique_ptr<Clips> clips_in_;
  Input* frames_in_ = nullptr;
  std::vector<std::unique_ptr<Layer>> layers_;
};

enum Code { OK = 0, OUT_OF_MEMORY = 1, WRONG_SHAPE = 2, FAILED = 3 };

template <class Act> int guarded(Act act) noexcept {
  try {
    act();
    return OK;
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  } catch (const std::invalid_argument&) {
    return WRONG_SHAPE;
  } catch (...) {
    return FAILED;
  }
}

}  // namespace winograd

using winograd::guarded;
using winograd::Network;

extern "C" {

// A network for up to `clips` clips at a time, on so many threads, the caller's included.
int winograd_new(int threads, int clips, Network** made) {
  return guarded([=] {
    if (threads < 1 || threads > 1024 || clips < 1 || clips > winograd::ROWS) throw std::invalid_argument("threads, clips");
    *made = new Network(threads, clips);
  });
}
void winograd_free(Network* network) { delete network; }

// What the first layer reads: clips of bytes (16, 112, 112, 3), or frames of floats (frames, size, size, channels).
int winograd_add_clips(Network* network) {
  return guarded([=] { network->add_clips(); });
}
int winograd_add_frames(Network* network, int channels, int frames, int size) {
  return guarded([=] { network->add_frames({channels, frames, size}); });
}

// kernel (3, 3, 3, inputs, outputs); max pooling over pool_time frames and pool_space rows and columns behind it.
int winograd_add_convolution(Network* network, int outputs, int pool_time, int pool_space, const float* kernel, const float* bias) {
  return guarded([=] { network->add_convolution(outputs, pool_time, pool_space, kernel, bias); });
}
// Max pooling over 2x2x2 to `size` rows and columns, the first window beginning `before` of them outside.
int winograd_add_pool(Network* network, int before, int size) {
  return guarded([=] { network->add_pool(before, size); });
}
// kernel (inputs, outputs), inputs being what the layer before gives, in the order time, row, column, channel.
int winograd_add_dense(Network* network, int outputs, int relu, const float* kernel, const float* bias) {
  return guarded([=] { network->add_dense(outputs, relu != 0, kernel, bias); });
}

// n clips, or n times frames.
int winograd_run_clips(Network* network, const uint8_t* clips, const float* mean, int n) {
  return guarded([=] { network->run_clips(clips, mean, n); });
}
int winograd_run_frames(Network* network, const float* frames, int n) {
  return guarded([=] { network->run_frames(frames, n); });
}
// (n, values) of a layer as the last run left them; layers count from 0, or from -1 backwards.
int winograd_read(Network* network, int layer, float* out, size_t values) {
  return guarded([=] { network->read(layer, out, values); });
}
}
