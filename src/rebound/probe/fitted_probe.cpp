#include "rebound/probe/fitted_probe.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

TensorView view_of(const char* name, const double* data, int64_t n) {
  return {.name = name,
          .dtype = DType::kF64,
          .shape = {n},
          .data = reinterpret_cast<const std::byte*>(data),
          .bytes = static_cast<size_t>(n) * sizeof(double)};
}

std::vector<double> doubles_of(const TensorView& view, const std::string& where) {
  require<DataError>(view.dtype == DType::kF64 && view.shape.size() == 1,
                     where,
                     ": ",
                     view.name,
                     ": got ",
                     dtype_info(view.dtype).name,
                     " ",
                     shape_text(view.shape),
                     ", expected F64 of one axis");
  std::vector<double> values(static_cast<size_t>(view.elements()));
  std::memcpy(values.data(), view.data, view.bytes);
  for (const double value : values) {
    require<DataError>(std::isfinite(value), where, ": ", view.name, ": got NaN or infinity");
  }
  return values;
}

}  // namespace

std::vector<double> monitor_scores(const FittedProbe& probe,
                                   const at::Tensor& resid,
                                   const at::Tensor& is_counted) {
  const at::NoGradGuard no_grad;
  const auto d = static_cast<int64_t>(probe.model.weight.size());
  check_shape("resid", resid, {{"batch"}, {"pos"}, {"d_model", d}});
  check_shape("is_counted", is_counted, {{"batch", resid.size(0)}, {"pos", resid.size(1)}});
  std::vector<double> scores;
  for (int64_t i = 0; i < resid.size(0); ++i) {
    const at::Tensor pooled = with_context(concat("example ", i), [&] {
      const at::Tensor tokens = resid[i].to(at::kFloat).index({is_counted[i]});
      return probe.pooler.reduce(probe.pooler.select(tokens)).cpu().contiguous();
    });
    const float* values = pooled.data_ptr<float>();
    scores.push_back(probe.model.scores({values, values + d}).front());
  }
  return scores;
}

void save_probe(const FittedProbe& probe, const std::filesystem::path& path) {
  const auto& weight = probe.model.weight;
  write_safetensors(path,
                    {view_of("weight", weight.data(), static_cast<int64_t>(weight.size())),
                     view_of("intercept", &probe.model.intercept, 1)},
                    {{"format", "rebound-probe"},
                     {"task", probe.task},
                     {"hook", to_string(probe.site)},
                     {"pool", to_string(probe.pooler)}});
}

FittedProbe load_probe(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const std::string where = path.string();
  const auto text = [&](const char* key) {
    const auto found = file.metadata().find(key);
    require<DataError>(found != file.metadata().end(),
                       where,
                       ": metadata without \"",
                       key,
                       "\", expected a file of rebound probe --out");
    return found->second;
  };
  require<DataError>(text("format") == "rebound-probe",
                     where,
                     ": format: got ",
                     text("format"),
                     ", expected rebound-probe");
  FittedProbe probe;
  probe.task = text("task");
  try {
    probe.site = parse_site(text("hook"));
    probe.pooler = parse_pooler(text("pool"));
  } catch (const ConfigError& e) {
    throw DataError(concat(where, ": ", e.what()));
  }
  probe.model.weight = doubles_of(file.get("weight"), where);
  probe.model.intercept = doubles_of(file.get("intercept", {1}), where).front();
  return probe;
}

}  // namespace rebound
