#include "sae_file_verb.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/base/shape.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/device.h"
#include "rebound/sae/convert.h"
#include "rebound/sae/sae_parts.h"

namespace rebound {
namespace {

constexpr int64_t kRowsAtOnce = 2048;

struct FileFlags {
  std::string sae, input, output, to, out;
  LoadSaeOptions load;
};

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json range_of(const at::Tensor& values) {
  return {values.min().item<float>(), values.max().item<float>()};
}

Json description(const Sae& sae) {
  const SaeConfig& config = sae.config();
  const SaeWeights& w = sae.weights();
  return {{"format", config.format},
          {"architecture", config.architecture},
          {"rule", to_string(config.kind)},
          {"is_pointwise", sae.is_pointwise()},
          {"is_transcoder", sae.is_transcoder()},
          {"d_in", sae.d_in()},
          {"d_out", sae.d_out()},
          {"d_sae", sae.d_sae()},
          {"k", config.k},
          {"hook", or_null(config.hook_name)},
          {"hook_out", or_null(config.hook_name_out)},
          {"hf_module", or_null(config.hf_module)},
          {"model_name", config.model_name},
          {"normalize_activations", to_string(config.norm)},
          {"apply_b_dec_to_input", config.apply_b_dec_to_input},
          {"has_skip", w.W_skip.defined()},
          {"threshold_range", range_of(w.threshold)},
          {"decoder_norm_range", range_of(w.W_dec.norm(2, {1}))},
          {"encoder_norm_range", range_of(w.W_enc.norm(2, {0}))},
          {"folds", to_json(config.folds)},
          {"metadata", config.metadata}};
}

void print_description(const Json& json) {
  for (const auto& [key, value] : json.items()) {
    if (key == "folds") continue;
    std::printf("%-22s %s\n", key.c_str(), value.dump(value.is_object() ? 2 : -1).c_str());
  }
  std::printf("folds\n");
  for (const Json& fold : json.at("folds")) {
    const std::string value = fold.contains("value") ? " = " + fold.at("value").dump() : "";
    std::printf("  %-20s %s%s\n",
                fold.at("name").get<std::string>().c_str(),
                fold.at("detail").get<std::string>().c_str(),
                value.c_str());
  }
}

void inspect(const FileFlags& flags, const CommonFlags& common) {
  const Json json = description(load_sae(flags.sae, flags.load));
  if (common.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_description(json);
  }
}

void encode(const FileFlags& flags, const CommonFlags& common) {
  const at::NoGradGuard no_grad;
  const at::Device device = device_named(common.device, "--device");
  const Sae sae = load_sae(flags.sae, flags.load).to(device);
  const at::Tensor x = with_context(flags.input, [&] {
    const SafetensorsFile file(flags.input);
    const at::Tensor rows = widened(file.get("x"));
    check_shape("x", rows, {{"n"}, {"d_in", sae.d_in()}});
    return rows;
  });
  const at::Tensor z = at::empty({x.size(0), sae.d_sae()});
  const at::Tensor x_hat = at::empty({x.size(0), sae.d_out()});
  for (int64_t first = 0; first < x.size(0); first += kRowsAtOnce) {
    const int64_t last = std::min(first + kRowsAtOnce, x.size(0));
    const at::Tensor rows = x.slice(0, first, last).to(device), codes = sae.encode(rows);
    z.slice(0, first, last).copy_(codes);
    x_hat.slice(0, first, last).copy_(sae.decode(codes, rows));
  }
  write_tensors(flags.output, {{"z", z}, {"x_hat", x_hat}});
  const double l0 = (z != 0).sum().item<double>() / static_cast<double>(x.size(0));
  if (common.json) {
    std::printf("%s\n", Json{{"out", flags.output}, {"n", x.size(0)}, {"l0", l0}}.dump().c_str());
  } else {
    std::printf("wrote %s: z [%lld, %lld], x_hat [%lld, %lld], L0 %.2f\n",
                flags.output.c_str(),
                static_cast<long long>(z.size(0)),
                static_cast<long long>(z.size(1)),
                static_cast<long long>(x_hat.size(0)),
                static_cast<long long>(x_hat.size(1)),
                l0);
  }
}

void convert(const FileFlags& flags, const CommonFlags& common) {
  const Sae sae = load_sae(flags.sae, flags.load);
  convert_sae(sae, flags.to, flags.out);
  if (common.json) {
    std::printf("%s\n", Json{{"out", flags.out}, {"format", flags.to}}.dump().c_str());
  } else {
    std::printf("wrote %s as %s\n", flags.out.c_str(), flags.to.c_str());
  }
}

}  // namespace

CLI::App* add_sae_command(CLI::App& verb, const char* name, const char* help) {
  CLI::App* command = verb.add_subcommand(name, help);
  command->fallthrough();
  return command;
}

void add_load_options(CLI::App& command, LoadSaeOptions& options) {
  command.add_option("--format", options.format, "Format of the files [detected]");
  command.add_option("--architecture", options.architecture, "Where the files leave it open");
  command.add_option("--hook", options.hook, "Site that it reads, where the files do not say");
  command.add_option("--hook-out", options.hook_out, "Site that it writes: a transcoder");
  command.add_option("--release", options.release, "Row of assets/registry.json, RELEASE/ID");
  command.add_option("--norm-scaling-factor", options.norm_scaling_factor, "Factor of its input");
  command.add_flag(
      "--transposed-skip", options.transposed_skip, "Gemma Scope 2: x A^T in place of x A");
}

void add_sae_file_commands(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<FileFlags>();
  CLI::App* inspect_command = add_sae_command(verb, "inspect", "What a folder or file holds");
  inspect_command->add_option("sae", flags->sae, kSaeFileHelp)->required();
  add_load_options(*inspect_command, flags->load);
  inspect_command->callback(
      [=, &common, &run] { run = [=, &common] { inspect(*flags, common); }; });

  CLI::App* encode_command = add_sae_command(verb, "encode", "Codes and reconstruction of vectors");
  encode_command->add_option("--sae", flags->sae, kSaeFileHelp)->required();
  encode_command->add_option("--input", flags->input, "safetensors with x [n, d_in]")->required();
  encode_command->add_option("--output", flags->output, "safetensors for z and x_hat")->required();
  add_load_options(*encode_command, flags->load);
  encode_command->callback([=, &common, &run] { run = [=, &common] { encode(*flags, common); }; });

  CLI::App* convert_command = add_sae_command(verb, "convert", "Write another package's layout");
  convert_command->add_option("--sae", flags->sae, kSaeFileHelp)->required();
  convert_command->add_option("--to", flags->to, "saelens, sparsify or gemma-scope")->required();
  convert_command->add_option("--out", flags->out, "Folder to write")->required();
  add_load_options(*convert_command, flags->load);
  convert_command->callback(
      [=, &common, &run] { run = [=, &common] { convert(*flags, common); }; });
}

}  // namespace rebound
