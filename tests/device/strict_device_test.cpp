#include "device/strict_device.h"

#include <functional>

#include "device/device_fixture.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

using Computation = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& m)>;

struct StrictCase {
  const char* name;
  Computation compute;
};

// Operations that the library leans on; x [3, 4, 6], m [6, 5].
const std::vector<StrictCase>& strict_cases() {
  static const std::vector<StrictCase> cases = {
      {"product", [](auto& x, auto& m) { return at::matmul(x, m) + 1; }},
      {"scores", [](auto& x, auto&) { return at::softmax(at::bmm(x, x.transpose(1, 2)), -1); }},
      {"norm", [](auto& x, auto&) { return x * at::rsqrt(x.square().mean(-1, true) + 1e-5); }},
      {"layer_norm", [](auto& x, auto&) { return at::layer_norm(x, {6}, {}, {}, 1e-5); }},
      {"where", [](auto& x, auto&) { return at::where(x > 0, x, at::zeros_like(x)); }},
      {"mask", [](auto& x, auto&) { return x.index({x.select(2, 0) > 0}); }},
      {"masked_fill", [](auto& x, auto&) { return x.masked_fill(x > 0, -1.0); }},
      {"topk", [](auto& x, auto&) { return std::get<0>(x.topk(2, -1)); }},
      {"cat",
       [](auto& x, auto&) {
         return at::cat({x, x * 2}, 1);
       }},
      {"einsum",
       [](auto& x, auto& m) {
         return at::einsum("bqe,ed->bqd", {x, m});
       }},
      {"svd", [](auto&, auto& m) { return std::get<1>(at::linalg_svd(m, false)); }},
      {"half", [](auto& x, auto&) { return x.to(at::kBFloat16).to(at::kFloat); }},
      {"repeat",
       [](auto& x, auto&) {
         return x.repeat({2, 1, 3});
       }},
      {"arange", [](auto& x, auto&) { return at::arange(7, x.options()); }},
      {"in_place",
       [](auto& x, auto&) {
         at::Tensor y = x.clone();
         y.narrow(1, 1, 2).copy_(x.narrow(1, 0, 2));
         y[0] = 3.0;
         return y;
       }},
      {"gradient", [](auto& x, auto& m) {
         const at::Tensor leaf = x.detach().requires_grad_(true);
         const at::Tensor loss = at::tanh(at::matmul(leaf, m)).square().sum();
         return torch::autograd::grad({loss}, {leaf})[0];
       }}};
  return cases;
}

TEST(StrictDeviceTest, ItComputesWhatTheCpuDoesAndTheResultStaysThere) {
  if (const std::string why = why_no_device(kStrictDevice); !why.empty()) GTEST_SKIP() << why;
  Rng rng({3});
  const at::Tensor x = random_tensor(rng, {3, 4, 6}), m = random_tensor(rng, {6, 5});
  for (const StrictCase& one : strict_cases()) {
    SCOPED_TRACE(one.name);
    const at::Tensor far = one.compute(x.to(strict_device()), m.to(strict_device()));
    EXPECT_EQ(far.device(), strict_device());
    EXPECT_LT(relative_gap(far.cpu(), one.compute(x, m)), 1e-6);
  }
}

TEST(StrictDeviceTest, TensorsOfTwoDevicesInOneOperationThrow) {
  Rng rng({3});
  const at::Tensor x = random_tensor(rng, {3, 4, 6}), m = random_tensor(rng, {6, 5});
  const at::Tensor far = x.to(strict_device());
  const at::Tensor index = at::zeros({3, 4, 1}, at::kLong), places = at::arange(2);
  EXPECT_THROW(far + x, c10::Error);
  EXPECT_THROW(far > x, c10::Error);
  EXPECT_THROW(at::matmul(far, m), c10::Error);
  EXPECT_THROW(at::cat({far, x}), c10::Error);
  EXPECT_THROW(at::where(x > 0, far, far), c10::Error);
  EXPECT_THROW(far.gather(2, index), c10::Error);
  EXPECT_THROW(far.index_select(0, places), c10::Error);
  EXPECT_THROW(far.index({x > 0}), c10::Error);
  EXPECT_THROW(far.masked_fill(x > 0, 1.0), c10::Error);
  EXPECT_THROW(at::embedding(m.to(strict_device()), places), c10::Error);
}

TEST(StrictDeviceTest, ItsMemoryIsNoAddress) {
  const at::Tensor far = at::ones({4}).to(strict_device());
  const auto address = reinterpret_cast<uintptr_t>(far.data_ptr());
  EXPECT_GE(address, uintptr_t{1} << 62);
  EXPECT_EQ(far.sum().item<double>(), 4);
}

}  // namespace
}  // namespace rebound
